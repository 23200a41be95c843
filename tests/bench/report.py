#!/usr/bin/env python3
"""Tables and pictures of what the benchmarks wrote.

    python3 tests/bench/report.py build/bench              build/bench/report.md and its pictures
    python3 tests/bench/report.py build/bench --publish    into tests/bench: README.md between its marks,
                                                           results/*.json, results/*.svg"""

import argparse
import html
import json
import math
import pathlib
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ORDER = ("polling", "rest", "wish", "deciding", "scripts", "history", "profile")
BEGIN, END = "<!-- the tables begin: made by report.py -->", "<!-- the tables end -->"
COLOURS = {"derd": "#0b7a75", "floor": "#9aa5b1", "peer": "#d08c3f"}


def figure(value):
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def target(row):
    if row["atMost"] is None and row["atLeast"] is None:
        return ""
    word, limit = ("≤", row["atMost"]) if row["atMost"] is not None else ("≥", row["atLeast"])
    what = f"{word} {limit:g} × {row['of']}" if row["of"] else f"{word} {limit:g} {row['unit']}"
    return what + (" ✓" if row["met"] else " ✗ not met" if row["met"] is False else " not measured")


def remarks(row, report):
    """What stands behind a figure's name: its note, and how many rounds it has if not those of the others."""
    rounds = row.get("rounds", report["rounds"])  # a report of an earlier day does not say
    words = ([row["note"]] if row["note"] else []) + (
        [f"{rounds} round{'s' if rounds > 1 else ''}"] if rounds != report["rounds"] else [])
    return f" ({'; '.join(words)})" if words else ""


def table(report):
    lines = ["| case | figure | derd | beside it | ratio | target |", "|---|---|---|---|---|---|"]
    for row in report["rows"]:
        beside = ", ".join(f"{who} {figure(value)}" for who, value in row["beside"].items())
        ratios = ", ".join(f"{figure(r['median'])} ({figure(r['least'])}–{figure(r['most'])})"
                           for r in row["ratios"].values())
        lines.append(f"| {row['case']} | {row['what']}, {row['unit']}{remarks(row, report)} | "
                     f"**{figure(row['derd'])}** | {beside} | {ratios} | {target(row)} |")
    return lines


def picture(shown):
    """Horizontal bars with their figures, as SVG that needs nothing else."""
    width, left, bar, gap, top = 780, 290, 20, 8, 44
    bars = shown["bars"]
    most = max((value for _, value, _ in bars if value), default=1) or 1

    def length(value):
        return (width - left - 110) * value / most if value else 0

    height = top + len(bars) * (bar + gap) + 8
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" role="img">',
           f'<title>{html.escape(shown["title"])}</title>',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           f'<text x="12" y="24" font-size="15" font-weight="bold" fill="#1f2933">'
           f'{html.escape(shown["title"])} ({html.escape(shown["unit"])})</text>']
    for number, (label, value, who) in enumerate(bars):
        y = top + number * (bar + gap)
        out += [f'<text x="{left - 8}" y="{y + 15}" text-anchor="end" fill="#1f2933">'
                f'{html.escape(label)}</text>',
                f'<rect x="{left}" y="{y}" width="{max(1, length(value)):.1f}" height="{bar}" rx="2" '
                f'fill="{COLOURS[who]}"/>',
                f'<text x="{left + max(1, length(value)) + 6:.1f}" y="{y + 15}" fill="#1f2933">'
                f'{figure(value)}</text>']
    return "\n".join(out + ["</svg>", ""])


def machine(report):
    m = report["machine"]
    kind = " (virtual)" if m["virtual"] else ""
    return f"{m['processor']}{kind}, {m['cores']} cores, {m['memoryGiB']:g} GiB, {m['system']}, Linux {m['kernel']}"


def section(report, folder, prefix):
    lines = [f"## {report['title']}", "",
             f"{report['date']}, {machine(report)}; median of {report['rounds']} interleaved rounds"
             f"{', short run' if report['short'] else ''}.", "", *table(report), ""]
    for number, shown in enumerate(report["pictures"]):
        name = f"{report['name']}-{number + 1}.svg"
        (folder / name).write_text(picture(shown))
        lines += [f"![{shown['title']}]({prefix}{name})", ""]
    for note in report["notes"]:
        lines += [note, ""]
    return lines


def main():
    parser = argparse.ArgumentParser(description="tables and pictures of the benchmarks' reports")
    parser.add_argument("folder", type=pathlib.Path, help="where NAME.json stand")
    parser.add_argument("--publish", action="store_true", help="write them into tests/bench")
    chosen = parser.parse_args()
    reports = [json.loads((chosen.folder / f"{name}.json").read_text()) for name in ORDER
               if (chosen.folder / f"{name}.json").exists()]
    if not reports:
        sys.exit(f"no report in {chosen.folder}: run sh tests/bench/run.sh")
    folder = BENCH / "results" if chosen.publish else chosen.folder
    folder.mkdir(exist_ok=True)
    lines = []
    for report in reports:
        lines += section(report, folder, "results/" if chosen.publish else "")
    text = "\n".join(lines).rstrip() + "\n"
    if not chosen.publish:
        (folder / "report.md").write_text(text)
        print(f"the report: {folder / 'report.md'}")
        return
    for report in reports:
        (folder / f"{report['name']}.json").write_text(json.dumps(report, indent=1) + "\n")
    page = BENCH / "README.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")
    print(f"the report: {page}")


if __name__ == "__main__":
    main()
