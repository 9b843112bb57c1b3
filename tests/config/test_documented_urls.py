"""Every URL that the documentation, or an error's remedy, names is one that opens a store."""

import re
from pathlib import Path

import pytest

from reliable_tasks import App
from reliable_tasks.config.names import REFUSED
from reliable_tasks.config.url import SCHEMES, SUPPORTED

ROOT = Path(__file__).parents[2]
URL = re.compile(
    r"\b((?:sqlite|unix|rediss?|valkeys?|sentinel)(?:[+-]\w+)?)"
    r"://([^\s`\"')|,]*(?:,\w[^\s`\"')|]*)?)"
)


def documented() -> dict[str, str]:
    """By URL, where it stands."""
    pages = {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in (ROOT / "docs").rglob("*.md")}
    pages["README.md"] = (ROOT / "README.md").read_text("utf-8")
    pages["remedies"] = "\n".join([SUPPORTED, *REFUSED.values()])
    return {
        f"{scheme}://{rest.rstrip('.;:')}": page
        for page, text in pages.items()
        for scheme, rest in URL.findall(text)
    }


URLS = documented()


def test_all_kinds_are_documented() -> None:
    assert {SCHEMES[url.partition("://")[0]] for url in URLS} == set(SCHEMES.values())


@pytest.mark.parametrize("url", sorted(URLS))
def test_it_opens_a_store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scheme, _, rest = url.partition("://")
    if not rest or "…" in rest:  # the name of a scheme
        assert scheme in SCHEMES
        return
    plain = re.sub(r":port\b", ":1", url).replace("/db", "/0").replace("1;sentinel://host:1", "1")
    options = {"master_name": "main"} if scheme == "sentinel" else {}
    app = App(broker=plain, broker_transport_options=options, set_as_current=False)
    assert app.store.location
    app.close()
