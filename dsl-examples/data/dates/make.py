"""Writes dates.tsv and vocab.txt: dates in words and as ISO 8601, tokens parted by spaces.

    python3 make.py

The same files every time: the draws are seeded.
"""

import datetime
import random

MONTHS = "january february march april may june july august september october november december".split()
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty", 6: "sixty", 7: "seventy", 8: "eighty", 9: "ninety"}
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


def cardinal(n):
    if n < 20:
        return [ONES[n]]
    return [TENS[n // 10]] + ([ONES[n % 10]] if n % 10 else [])


def ordinal(n):
    if n <= 20:
        return [ORDINALS[n - 1]]
    return ["thirtieth"] if n == 30 else [TENS[n // 10], ORDINALS[n % 10 - 1]]


def year(n):
    if 2000 <= n < 2010:
        return ["two", "thousand"] + (["and"] + cardinal(n - 2000) if n > 2000 else [])
    rest = n % 100
    return cardinal(n // 100) + (["hundred"] if rest == 0 else ["oh"] + cardinal(rest) if rest < 10 else cardinal(rest))


def words(date, rng):
    day, month, of_year = ordinal(date.day), [MONTHS[date.month - 1]], year(date.year)
    parts = rng.choice([
        ["the"] + day + ["of"] + month + of_year,
        month + ["the"] + day + of_year,
        day + month + of_year,
        month + day + of_year,
    ])
    return ([WEEKDAYS[date.weekday()]] if rng.random() < 0.3 else []) + parts


def main():
    rng = random.Random(7)
    first = datetime.date(1900, 1, 1)
    span = (datetime.date(2030, 1, 1) - first).days
    lines, tokens = [], set()
    for days in rng.sample(range(span), 2400):
        date = first + datetime.timedelta(days)
        source, target = words(date, rng), list(date.isoformat())
        tokens.update(source, target)
        lines.append(" ".join(source) + "\t" + " ".join(target) + "\n")
    with open("dates.tsv", "w", encoding="utf-8") as file:
        file.writelines(lines)
    with open("vocab.txt", "w", encoding="utf-8") as file:
        file.writelines(token + "\n" for token in sorted(tokens))


if __name__ == "__main__":
    main()
