"""The description of the published files has what RO-Crate 1.2 asks for, and says of each file what it is.

The requirements are written down here from the specification (https://w3id.org/ro/crate/1.2), not taken from the code.
"""

import copy
import hashlib
import json
import re
import shutil
from urllib.parse import unquote

import pytest
import yaml

import readme
from conftest import ROOT
from report import crate

FOLDER = ROOT / "results" / "full"


@pytest.fixture(scope="module")
def described(published):
    return json.loads(readme.described(published))


def references(value):
    """What an entity refers to; an entity in another one is none."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            assert set(each) == {"@id"}, "entities stand beside each other, not in each other"
            yield each["@id"]


def faults(content, folder):
    """What the specification does not allow."""
    context, graph = content["@context"], content["@graph"]
    entities = {each["@id"]: each for each in graph}
    found = ["context"] * (context != "https://w3id.org/ro/crate/1.2/context") + ["ids"] * (len(entities) < len(graph))
    descriptor, root = (entities.get(name, {}) for name in ("ro-crate-metadata.json", "./"))
    found += ["descriptor"] * (descriptor.get("@type") != "CreativeWork" or descriptor.get("about") != {"@id": "./"})
    found += ["conformsTo"] * (descriptor.get("conformsTo") != {"@id": "https://w3id.org/ro/crate/1.2"})
    found += ["root"] * (root.get("@type") != "Dataset")
    found += [name for name in ("name", "description", "datePublished", "license") if not root.get(name)]
    found += ["date"] * (not re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", root.get("datePublished", "")))
    licence = entities.get(root.get("license", {}).get("@id"), {})
    found += ["licence"] * (not {"name", "description"} <= set(licence))
    found += [f"type of {name}" for name, each in entities.items() if not each.get("@type")]
    found += [f"name of {name}" for name, each in entities.items() if not each.get("name")]
    reached, waiting = set(), ["ro-crate-metadata.json"]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            for key, value in entities.get(name, {}).items():
                waiting += [each for each in references(value)] if key != "conformsTo" else []
    found += [f"{name} is referred to alone" for name in reached - set(entities)]
    found += [f"nothing refers to {name}" for name in set(entities) - reached]
    for name, each in entities.items():
        if each["@type"] == "File":
            path = folder / unquote(name)
            right = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == each["sha256"]
            found += [f"bytes of {name}"] * (not right or each["contentSize"] != str(path.stat().st_size))
            found += [f"format of {name}"] * ("/" not in each["encodingFormat"])
        if each["@type"] == "Dataset":
            found += [f"{name} is no folder"] * (not name.endswith("/") or not (folder / unquote(name)).is_dir())
    return found


def test_the_published_files_are_described_as_the_specification_asks(described):
    assert faults(described, FOLDER) == []


def test_every_published_file_is_described(described):
    """Those that runs.jsonl names, itself, and the summary."""
    lines = [json.loads(line) for line in (FOLDER / "runs.jsonl").read_text().splitlines()]
    named = {line["name"]: line["sha256"] for line in lines if line["kind"] == "table"}
    files = {unquote(each["@id"]): each["sha256"] for each in described["@graph"] if each["@type"] == "File"}
    assert named.items() <= files.items() and set(files) == {*named, "runs.jsonl", "summary.json"}


@pytest.mark.parametrize(
    ("entity", "key", "value", "fault"),
    [
        ("ro-crate-metadata.json", "about", {"@id": "elsewhere/"}, "descriptor"),
        ("./", "name", "", "name"),
        ("./", "datePublished", "yesterday", "date"),
        ("./", "license", {"@id": "https://example.org"}, "licence"),
        ("./", "hasPart", [{"@id": "runs.jsonl"}], "nothing refers to summary.json"),
        ("./", "author", {"@id": "#nobody"}, "#nobody is referred to alone"),
        ("summary.json", "sha256", 64 * "0", "bytes of summary.json"),
        ("summary.json", "contentSize", "1", "bytes of summary.json"),
        ("#study", "@type", "", "type of #study"),
    ],
)
def test_what_the_specification_does_not_allow_is_found(described, entity, key, value, fault):
    broken = copy.deepcopy(described)
    next(each for each in broken["@graph"] if each["@id"] == entity)[key] = value
    assert fault in faults(broken, FOLDER)


def test_who_made_it_and_with_what_is_as_the_citation_and_the_runs_say(described, published):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entities = {each["@id"]: each for each in described["@graph"]}
    assert entities["#author-1"]["name"] == citation["authors"][0]["name"]
    assert citation["title"] in entities["./"]["name"] and entities["#study"]["version"] == citation["version"]
    assert entities["./"]["license"]["@id"].endswith(citation["license"])
    assert entities["#mindspore-2.10.0"]["softwareVersion"] == "2.10.0"
    assert {f"commit {commit}" for commit in published.summary.commits} == set(entities["#study"]["identifier"])
    starts = [run.times["started"][:10] for run in published.results.runs.values()]
    assert (entities["#runs"]["startTime"], entities["./"]["datePublished"]) == (min(starts), max(starts))


def test_people_are_named_by_their_orcid_and_several_authors_are_a_list(published):
    people = [
        {"given-names": "Ada", "family-names": "Lovelace", "orcid": "https://orcid.org/0000-0000-0000-0000"},
        {"name": "A body"},
    ]
    citation = {"title": "T", "version": "1", "license": "MIT", "authors": people}
    graph = json.loads(crate.text(published, FOLDER, citation))["@graph"]
    root, ada = (next(each for each in graph if each["@id"] == name) for name in ("./", people[0]["orcid"]))
    assert (ada["@type"], ada["name"]) == ("Person", "Ada Lovelace")
    assert root["author"] == [{"@id": people[0]["orcid"]}, {"@id": "#author-2"}]


def test_it_is_the_same_whenever_and_wherever_it_is_written(published, tmp_path):
    for path in crate.FILES:
        if (source := FOLDER / path).exists():
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / path)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert crate.text(published, tmp_path, citation) == readme.described(published)


def test_what_is_committed_is_of_the_published_files(published):
    written = (FOLDER / crate.NAME).read_text("utf-8")
    assert written == readme.described(published), "python book/readme.py writes it anew"


def test_all_that_is_ever_published_has_its_words():
    assert set(crate.FILES) == set(crate.SAID)
