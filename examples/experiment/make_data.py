"""Writes the tables: days by temperature and humidity, in Celsius and in Fahrenheit, and what is said of them."""

import pathlib
import random

HERE = pathlib.Path(__file__).parent


def said(celsius, humidity):
    heat = "cold" if celsius < 10 else "mild" if celsius < 22 else "warm"
    return f"{heat} and {'dry' if humidity < 35 else 'damp' if humidity < 65 else 'wet'}"


def write(name, unit, rows):
    lines = [f"temperature ({unit}),humidity (%),day"]
    for celsius, humidity in rows:
        shown = celsius if unit == "C" else round(celsius * 9 / 5 + 32)
        lines.append(f"{shown},{humidity},{said(celsius, humidity)}")
    (HERE / name).write_text("\n".join(lines) + "\n")


def main():
    rng = random.Random(20260101)
    rows = [(celsius, humidity) for celsius in range(-8, 38) for humidity in range(10, 100)]
    rng.shuffle(rows)
    for name, unit, count in [("celsius_train.csv", "C", 400), ("celsius_test.csv", "C", 100),
                              ("fahrenheit_train.csv", "F", 150), ("fahrenheit_validation.csv", "F", 60),
                              ("fahrenheit_test.csv", "F", 100)]:
        write(name, unit, rows[:count])
        del rows[:count]


main()
