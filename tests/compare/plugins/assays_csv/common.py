import csv
import os


def rows_of(folder, *names):
    with open(os.path.join(folder, *names), encoding="utf-8-sig", newline="") as source:
        yield from csv.DictReader(source)
