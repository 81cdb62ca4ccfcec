"""What is published in a folder of results, as RO-Crate (https://w3id.org/ro/crate/1.2) describes it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from report.cite import dated
from report.context import Report
from suppress_privacy.files import sha256_of
from suppress_study.results import FILES

NAME = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.2"  # the first whose terms have the SHA-256 of a file
LICENCE = "https://spdx.org/licenses/"
SAID = {
    "campaign.json": "The campaign, laid over the content of the study",
    "runs.jsonl": "A line for each run: its factors, settings, seed, commit, environment, times and results",
    "summary.json": "Every figure of the book as typed data: estimates, checks and verdicts",
    "pictures.npz": "Private images and their reconstructions, of the first seed",
    "study.yaml": "What the runs were asked for: networks, attacks and profiles",
    "claims.yaml": "What was claimed, and what decides it",
    "images.parquet": "A row for each run, image and evaluator",
    "membership.parquet": "A row for each run and candidate",
    "weights": "The last weights of each training",
    "retrained.json": "Which runs were made again in a clone of their tag, and in what these differ",
}
FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
    ".npz": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
    ".xz": "application/x-xz",
}
Entity = dict[str, Any]


def text(report: Report, folder: Path, citation: Mapping[str, Any]) -> str:
    """The description of what a folder has published: the same for the same files, whenever it is written.

    Args:
        report: of that folder.
        folder: of results.
        citation: content of CITATION.cff.
    """
    content = {"@context": f"{VERSION}/context", "@graph": [*_entities(report, folder, citation)]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _entities(report: Report, folder: Path, citation: Mapping[str, Any]) -> Iterator[Entity]:
    authors, software = [*_authors(citation)], [*_software(report, citation)]
    places = [name for name in sorted(FILES) if (folder / name).exists()]
    licence = LICENCE + citation["license"]
    yield {
        "@id": NAME,
        "@type": "CreativeWork",
        "name": "The description of this crate",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{citation['title']}: the published run",
        "description": f"{len(report.results.runs):,} runs of campaign {report.summary.campaign}, profile "
        f"{report.profile}, on {report.summary.data.name}, as tables, and the summary made from them.",
        "datePublished": dated(report.results.runs.values())[1],  # no day is nearer that the files themselves know
        "version": ", ".join(report.summary.tags) or citation["version"],
        "license": {"@id": licence},
        "author": _named(authors),
        "publisher": _named(authors[:1]),
        "keywords": citation.get("keywords", []),
        "hasPart": [{"@id": _place(folder, folder / name)} for name in places],
        "mentions": {"@id": "#runs"},
    }
    yield {
        "@id": "#runs",
        "@type": "CreateAction",
        "name": "The trainings and attacks",
        "startTime": dated(report.results.runs.values())[0],
        "endTime": dated(report.results.runs.values())[1],
        "agent": _named(authors),
        "instrument": _named(software),
        "result": {"@id": "./"},
    }
    yield {"@id": licence, "@type": "CreativeWork", "name": citation["license"], "url": licence} | {
        "description": f"The licence called {citation['license']} by SPDX, under which all of this is published."
    }
    yield from (*authors, *software)
    for name in places:
        yield from _files(folder, folder / name, SAID[name])


def _named(entities: list[Entity]) -> Entity | list[Entity]:
    """References to entities; one alone is no list."""
    found = [{"@id": each["@id"]} for each in entities]
    return found if len(found) > 1 else found[0]


def _authors(citation: Mapping[str, Any]) -> Iterator[Entity]:
    """People by their ORCID, if they give one, and bodies."""
    for number, author in enumerate(citation["authors"], 1):
        person = " ".join(author[part] for part in ("given-names", "family-names") if part in author)
        kind = "Person" if person else "Organization"
        yield {"@id": author.get("orcid", f"#author-{number}"), "@type": kind, "name": person or author["name"]}


def _software(report: Report, citation: Mapping[str, Any]) -> Iterator[Entity]:
    """The study's own code at its commits, and each version of a package that some run names."""
    summary = report.summary
    yield {
        "@id": "#study",
        "@type": "CreativeWork",
        "name": citation["title"],
        "version": citation["version"],
        "license": {"@id": LICENCE + citation["license"]},
        "identifier": [*(f"tag {tag}" for tag in summary.tags), *(f"commit {commit}" for commit in summary.commits)],
    }
    versions = {pair for run in report.results.runs.values() for pair in run.environment.get("versions", {}).items()}
    for name, version in sorted(versions):
        url = "https://www.python.org/" if name == "python" else f"https://pypi.org/project/{name}/{version}/"
        made = {"@id": f"#{name}-{version}", "@type": "SoftwareApplication", "name": name, "url": url}
        yield made | {"version": version, "softwareVersion": version}


def _files(folder: Path, path: Path, said: str) -> Iterator[Entity]:
    """A file with its size and hash; a folder with all files in it."""
    shared = {"@id": _place(folder, path), "name": path.name, "description": said}
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file())
        yield shared | {"@type": "Dataset", "hasPart": [{"@id": _place(folder, each)} for each in inside]}
        for each in inside:
            yield from _files(folder, each, f"{said}: {each.relative_to(path)}")
    else:
        size, form = str(path.stat().st_size), FORMATS.get(path.suffix, "application/octet-stream")
        yield shared | {"@type": "File", "contentSize": size, "encodingFormat": form, "sha256": sha256_of(path)}


def _place(folder: Path, path: Path) -> str:
    """A path as a crate names it: from its folder, without signs that addresses may not have."""
    return quote(path.relative_to(folder).as_posix(), safe="/=@") + "/" * path.is_dir()
