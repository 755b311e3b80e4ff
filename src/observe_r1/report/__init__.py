"""Looks at run folders: one page to keep, a live viewer, a comparison of runs, a view for terminals.

    run folder ──run──▶ RunFolder ──┬─ curves, ladder, findings, overview ─▶ payload ──pages──▶ one HTML file
         │                          ├─ compare ───────────────────────────▶ paired differences, one HTML file
         └─rollouts──index──▶ Index ┴─ server ─────▶ the same page, live ; terminal ─▶ the same as text

Everything in a run folder is untrusted: a model wrote the texts, and the folder may be half written,
damaged or hostile. Numbers are read through ``rows``, which turns what is not finite into None; texts go
into the page as data and are shown as text.
"""
