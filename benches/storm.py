#!/usr/bin/env python3
"""Measures a storm: many images due in one moment, against shrunken budgets of Azure.

    benches/storm.py [--images N] [--percent P] [--binary PATH]

Three runs of `goldsmith up --once`, one after another: calm (the published budgets), the storm
with one handler process, and the storm with a process for each function (`--isolate`, as on Flex
Consumption). It prints, for each, the calls of Azure, how many were refused with 429, and the desk
time from the moment at which all images became due to the last release; the storms also as ratios
to the calm run of this very execution, since only these can be compared between machines.

Below 3 percent there are steps that ask for more in one moment of desk time than there ever is.

Exits 1 when a run loses an image or builds one twice.

Measured on 21 November 2026 with the defaults (an unoptimised binary on two busy cores; desk time
does not depend on that, so that only the wall's seconds would differ elsewhere):

                    calls   429  of all   drained    wall   to calm
calm                  807     0    0.0%    2091 s  47.2 s
storm                 882    22    2.5%    6509 s  98.5 s   calls x1.09, time x3.11
storm, isolated       882    22    2.5%    6509 s  86.6 s   calls x1.09, time x3.11

A process for each function asks for exactly what one process for all does: nothing that spreads
the requests is kept in a process's memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from datetime import datetime

SUBSCRIPTION = "8d1a5c3e-6f40-4b27-9e58-1c7b3d0a2f96"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/builds/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/builder"
)


def catalog(images):
    lines = [
        "catalog: storm",
        f"gallery: {{ subscription: {SUBSCRIPTION}, resourceGroup: images, name: storm,"
        " location: westeurope }",
        f"build: {{ resourceGroup: builds, identity: {IDENTITY}, atOnce: {images} }}",
        f"consumers: {{ subscriptions: [{SUBSCRIPTION}] }}",
        "images:",
    ]
    for number in range(images):
        lines += [
            f"  - name: image-{number}",
            f"    identifier: {{ publisher: storm, offer: ubuntu, sku: sku-{number} }}",
            "    os: linux",
            "    base: { platform: { publisher: Canonical, offer: jammy, sku: gen2 } }",
            "    customize: [{ shell: { name: configure, inline: [sudo true] } }]",
            "    rings: [{ name: all, regions: [westeurope, northeurope] }]",
            "    retention: { keep: 1 }",
        ]
    return "\n".join(lines) + "\n"


def estate(percent):
    return f"""start: 2026-06-01T00:10:00Z
tenant: 5b0b6b7e-2d3c-4f8a-9e1d-7a6c5b4d3e2f
budgetsPercent: {percent}
subscriptions:
  - id: {SUBSCRIPTION}
    name: storm
    resourceGroups: [{{ name: images, location: westeurope }}, {{ name: builds, location: westeurope }}]
marketplace:
  - {{ publisher: Canonical, offer: jammy, sku: gen2, os: ubuntu/22.04,
      versions: [{{ version: 22.4.1, released: 2026-05-01T00:00:00Z, packages: {{ openssl: 3.0.2-17 }} }}] }}
steps: [{{ name: configure }}]
galleries: [{{ subscription: {SUBSCRIPTION}, resourceGroup: images, name: storm, location: westeurope }}]
"""


def run(binary, images, percent, isolate):
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        folder = pathlib.Path(folder)
        (folder / "catalog.yaml").write_text(catalog(images))
        (folder / "estate.yaml").write_text(estate(percent))
        command = [binary, "up", "--once", "--json", "--state", folder / "state"]
        command += ["--catalog", folder / "catalog.yaml", "--estate", folder / "estate.yaml"]
        command += ["--isolate"] if isolate else []
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    if not events or events[-1].get("event") != "summary":
        sys.exit(f"storm: `goldsmith up` ended with {ended.returncode}: {ended.stderr[-2000:]}")

    def times(name):
        return [datetime.fromisoformat(it["at"]) for it in events if it.get("event") == name]

    def of(name):
        return sorted(it["image"] for it in events if it.get("event") == name)

    expected = sorted(f"image-{number}" for number in range(images))
    for name in ("buildStarted", "runReleased"):
        if of(name) != expected:
            sys.exit(f"storm: `{name}` is not there once for each image: {of(name)}")
    calls = events[-1]["azureCalls"]
    return {
        "calls": calls["read"] + calls["write"] + calls["delete"],
        "refused": calls["throttled"],
        "drained": (max(times("runReleased")) - min(times("triggerAccepted"))).total_seconds(),
        "wall": events[-1]["wallSeconds"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--percent", type=int, choices=range(3, 101), metavar="P", default=14)
    parser.add_argument("--binary", default="target/release/goldsmith")
    args = parser.parse_args()

    print(f"{args.images} images due at once; budgets of {args.percent} percent in the storms")
    print(f"{'':18}{'calls':>7}{'429':>6}{'of all':>8}{'drained':>10}{'wall':>8}   to calm")
    runs = [
        ("calm", 100, False),
        ("storm", args.percent, False),
        ("storm, isolated", args.percent, True),
    ]
    calm = None
    for name, percent, isolate in runs:
        it = run(args.binary, args.images, percent, isolate)
        calm = calm or it
        ratio = "" if it is calm else (
            f"   calls x{it['calls'] / calm['calls']:.2f}, time x{it['drained'] / calm['drained']:.2f}"
        )
        share = 100 * it["refused"] / it["calls"]
        print(
            f"{name:18}{it['calls']:>7}{it['refused']:>6}{share:>7.1f}%"
            f"{it['drained']:>8.0f} s{it['wall']:>6.1f} s{ratio}",
            flush=True,
        )


if __name__ == "__main__":
    main()
