"""The pages say what is there: every quote, link, name and command in them is held against the project."""

import functools
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docsgen.telemetry import audit_calls, families
from lanyard.connectors.loader import load_catalogue
from lanyard.entry.settings import PREFIX, Settings
from lanyard.reasons import Condition, Reason

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "lanyard"
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
FOLDERS = {path.name for base in (ROOT, PACKAGE) for path in base.iterdir() if path.is_dir()} - {"build"}
TASKS = sorted((ROOT / "docs" / "tasks").glob("*.md"))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
REGISTRIES = ("registry.npmjs", "pypi.org", "pythonhosted", "proxy.golang", "docker.io", "ghcr.io", "quay.io", "gcr.io")
MACHINE = re.compile(r"(?<![\w.-])/(?:work|root|tmp|home|Users)/")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [textwrap.dedent(text) for _, found, text in FENCE.findall(page.read_text()) if found == language]


@functools.cache
def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text())


def links(page: Path) -> Iterator[str]:
    """Targets within the project. A pattern in backticks can look like a link."""
    text = re.sub(r"`[^`\n]*`", "code", prose(page))
    yield from (target for target in LINK.findall(text) if "://" not in target)


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of its headings, as forges make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


@functools.cache
def quotable() -> tuple[list[str], ...]:
    files = [*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "crds").glob("*.yaml")]
    return tuple(file.read_text().splitlines() for file in files)


def is_quoted(lines: list[str]) -> bool:
    """The lines stand in one file one after the other, all indented by the same number of spaces."""
    for text in quotable():
        for start in range(len(text) - len(lines) + 1):
            part = text[start : start + len(lines)]
            pad = indent(part[0]) - indent(lines[0])
            if pad >= 0 and all(
                line == (" " * pad + wanted if wanted else "") for line, wanted in zip(part, lines, strict=True)
            ):
                return True
    return False


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


QUOTES = [
    pytest.param(block, id=f"{named(page)} {number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"), 1)
]


@pytest.mark.parametrize("block", QUOTES)
def test_yaml_of_a_page_is_quoted_from_a_file_that_is_tested(block: str) -> None:
    assert is_quoted(block.rstrip("\n").splitlines()), block


def test_the_first_yaml_of_the_readme_is_the_connection_that_the_demo_applies() -> None:
    first = yaml.safe_load(blocks(ROOT / "README.md", "yaml")[0])
    assert first == yaml.safe_load((ROOT / "examples/quickstart/30-connection.yaml").read_text())


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_every_page_is_reached_from_the_index() -> None:
    reached = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs" / "index.md")}
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"}
    assert [named(page) for page in sorted(pages - reached)] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_names_no_registry_and_no_path_of_a_machine(page: Path) -> None:
    text = page.read_text()
    assert [name for name in REGISTRIES if name in text] == []
    assert MACHINE.findall(text) == []


@pytest.mark.spec("K8")
@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("settings", [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]),
        ("metrics", [name for name, *_ in families()]),
        ("audit", sorted({action for action, _ in audit_calls()})),
    ],
    ids=["settings", "metrics", "audit log"],
)
def test_a_page_of_reference_has_every_name(page: str, names: list[str]) -> None:
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    assert names
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_every_setting_and_metric_that_a_page_names_is_there() -> None:
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    metrics = {name for name, *_ in families()}
    found = {page: re.findall(r"\bLANYARD_[A-Z_]+\b|\blanyard_[a-z_]+\b", page.read_text()) for page in PAGES}
    unknown = {named(page): sorted(set(names) - settings - metrics) for page, names in found.items()}
    assert {page: names for page, names in unknown.items() if names} == {}


def test_every_reason_and_condition_of_the_troubleshooting_table_is_there() -> None:
    text = (ROOT / "docs" / "tasks" / "troubleshoot.md").read_text()
    linked = set(re.findall(r"\[`(\w+)`\]\(\.\./reasons\.md#", text))
    assert linked
    assert linked <= {reason.value for reason in Reason}


@pytest.mark.spec("C11")
@pytest.mark.parametrize(
    "words",
    ["invalid client", "redirect URI mismatch", "insufficient scopes", "access denied", "expires often"],
)
def test_the_troubleshooting_table_answers_what_people_look_for(words: str) -> None:
    rows = (ROOT / "docs" / "tasks" / "troubleshoot.md").read_text().splitlines()
    assert [row for row in rows if row.startswith("| ") and words in row]


@pytest.mark.spec("K2")
def test_the_concepts_explain_every_condition() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert [one.value for one in Condition if f"| `{one.value}` |" not in text] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_map_of_the_rooms_has_every_room(page: str) -> None:
    rooms = {f"`{path.parent.name}/`" for path in PACKAGE.glob("*/__init__.py")}
    rooms |= {f"`{path.name}`" for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    text = (ROOT / page).read_text()
    assert sorted(room for room in rooms if room not in text) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    names = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`", prose(page))
    missing = [
        name for name in names
        if name.split("/")[0] in FOLDERS and not any((base / name).exists() for base in (ROOT, PACKAGE))
    ]  # fmt: skip
    assert missing == []


@pytest.mark.spec("A2", "C8")
def test_the_table_of_plaintext_has_every_module_that_opens_a_secret() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("## Where plaintext can be")[2].partition("\n## ")[0]
    opens = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if ".reveal()" in path.read_text() and path.name != "sensitive.py"
    }
    assert opens == set(re.findall(r"^\| `([\w/]+\.py)` \|", table, re.MULTILINE))


def test_every_make_target_that_a_page_names_is_there() -> None:
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in helped.splitlines()}
    used = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert used
    assert used - targets == set()


def test_the_readme_counts_the_connectors_right() -> None:
    text = (ROOT / "README.md").read_text()
    found = re.search(r"\[(\d+) connectors\]", text)
    assert found
    assert int(found[1]) == len(load_catalogue())


def test_the_picture_is_an_image_that_describes_itself() -> None:
    text = (ROOT / "docs" / "picture.svg").read_text()
    assert text.startswith("<svg ")
    assert "<title" in text
    assert "<desc" in text
    assert "docs/picture.svg" in (ROOT / "README.md").read_text()


@pytest.mark.spec("C4")
@pytest.mark.parametrize("page", ["README.md", "docs/tasks/authorize-a-connection.md"])
def test_the_story_of_a_consent_shows_the_page_that_the_browser_test_has_photographed(page: str) -> None:
    found = re.search(r"!\[[^\]]+\]\(([^)]*consent\.png)\)", (ROOT / page).read_text())
    assert found is not None
    assert ((ROOT / page).parent / found[1]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_a_page_of_a_task_begins_with_its_name(page: Path) -> None:
    assert page.read_text().startswith("# ")
