"""A reward that a random model earns now and then: the share of even bytes in its text."""


def evenness(attempt):
    letters = [ord(letter) % 2 == 0 for letter in attempt.text]
    return round(sum(letters) / max(len(letters), 1), 3)
