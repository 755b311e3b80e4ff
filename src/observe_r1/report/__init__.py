"""Looks at run folders: a page to keep, a live viewer, a comparison of runs, a view for terminals.

    run folder ─run─▶ RunFolder ──┬─ overview, evaluations, curves, ladder, findings ─▶ payload
         │                        └─ compare: paired differences                          │
         └─ rollouts ─index─▶ Index ─ select, groups ─▶ the groups of a page       pages ◀┘ one file
                                    └ live, search ───▶ server: the same page, live
                                                        terminal: the same as text

Everything in a run folder is untrusted: a model wrote the texts, and the folder may be half
written, damaged or hostile. Values are read through ``rows``, which turns what is not finite into
None; texts go into the page as data and are shown as text.
"""
