"""The benchmarks run, and say what they found: our own part of them, in tiny runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import failures, long_run, probe, profile_worker, report
from benchmarks.arena import Arena, BenchmarkError, Place
from benchmarks.goals import verdicts
from benchmarks.results import Results
from benchmarks.systems import PEERS, before, systems_of

ROOT = Path(__file__).parents[2]
SYSTEMS = systems_of(tuple(PEERS))


def made_up(**rates: float) -> Results:
    results = Results()
    names = {
        "ours": "reliable_tasks, Redis",
        "before": "reliable_tasks, Redis, before",
        "floor": "floor, Redis",
        "huey": "Huey, Redis",
        "taskiq": "taskiq, streams",
    }
    for name, rate in rates.items():
        for value in (rate * 0.9, rate, rate * 1.3):
            results.add("drain", names[name], {"per_second": value})
    return results


def measured(page: Path, *options: str) -> Results:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--out", page, "--work", page.parent],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # what it waits for is bounded, and says what did not come
    )
    assert done.returncode == 0, done.stderr
    return Results.load(page.with_suffix(".json"))


def test_another_checkout_is_measured_beside_this_one(tmp_path: Path) -> None:
    options = ["--quick", "--no-plot", "--peers", "", "--only", "enqueue", "--systems", "Redis"]
    results = measured(tmp_path / "speed.md", *options, "--before", str(ROOT))
    for system in ("reliable_tasks, Redis", "reliable_tasks, Redis, before"):
        assert (results.median("enqueue", system, "one") or 0) > 0, system
    assert "| before |" in (tmp_path / "speed.md").read_text()


def test_a_tiny_run_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n\nWords.\n")
    options = ["--quick", "--no-plot", "--peers", "", "--only", "drain,enqueue,coroutines,latency"]
    results = measured(page, *options)
    for store in ("Redis", "SQLite (FULL)"):
        system = f"reliable_tasks, {store}"
        for measure, number in (
            ("drain", "per_second"),
            ("drain", "cpu_us"),
            ("enqueue", "one"),
            ("enqueue", "one_us"),
            ("enqueue", "bulk"),
            ("coroutines", "many"),
            ("coroutines", "many_threads"),
        ):
            assert (results.median(measure, system, number) or 0) > 0, (system, measure, number)
        pairs = [results.median("latency", system, n) for n in ("start_p50", "round_p50")]
        assert None not in pairs
        assert 0 < (pairs[0] or 0) < (pairs[1] or 0)
    text = page.read_text()
    assert text.startswith("# Speed\n\nWords.\n")
    assert "twice the floor's" in text
    left = [path.name for path in tmp_path.iterdir()]
    assert sorted(left) == ["speed.json", "speed.md"], "a run left its folder behind"


def test_what_a_retry_costs_is_measured() -> None:
    found = failures.measure("redis", "retry", 20)
    assert found["worker"] > 0
    assert set(found) == {"worker", "server"}


def test_goals_compare_medians() -> None:
    results = made_up(ours=900, huey=300, taskiq=100, floor=2000, before=500)
    found = {v.goal: v for v in verdicts(results, SYSTEMS)}
    most = found["Redis drain: 8 x the fastest at-least-once peer"]
    assert most.reached
    assert (most.ratio, most.ratio_before) == (9.0, 5.0)
    assert most.against is not None
    assert most.against[0] == "taskiq, streams"
    assert not found["Redis drain: half of the floor's rate"].reached


def test_goals_compare_with_another_checkout() -> None:
    results = Results()
    for name, us in (("reliable_tasks, Redis", 59), ("reliable_tasks, Redis, before", 100)):
        results.add("drain", name, {"cpu_us": us})
    (found,) = verdicts(results, SYSTEMS)
    assert found.reached
    assert (found.ratio, found.ratio_before) == (0.59, 1.0)
    text = report.markdown(results, systems_of((), ROOT))
    assert f"| {found.goal} | 100 | 59.0 | before: 100 | 1.00 x | 0.59 x | reached |" in text


def test_another_checkout_is_what_runs(tmp_path: Path) -> None:
    package = tmp_path / "reliable_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this is the other one')\n")
    (older,) = (s for s in before(tmp_path) if s.store == "sqlite")
    place = Place(tmp_path / "venvs", tmp_path)
    with Arena(older, place) as arena, pytest.raises(BenchmarkError, match="this is the other"):
        arena.control.ask("finished")


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdicts(Results(), SYSTEMS) == []


def test_a_page_keeps_its_words_when_results_are_written_again(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n\nBefore.\n")
    report.insert(page, "first")
    page.write_text(page.read_text() + "\nAfter.\n")
    report.insert(page, report.markdown(made_up(ours=10), SYSTEMS))
    text = page.read_text()
    assert "first" not in text
    assert text.index("Before.") < text.index("**10.0** (9.00 to 13.0)") < text.index("After.")


def test_a_run_keeps_what_an_earlier_one_found_of_other_measures() -> None:
    before, now = (
        Results(failures=["drain, round 1, Huey: no", "chord, round 1, Huey: no"]),
        Results(),
    )
    before.add("drain", "Huey, Redis", {"per_second": 1.0})
    before.add("chord", "Huey, Redis", {"seconds": 2.0})
    now.keep(before, ("drain",))
    now.add("drain", "Huey, Redis", {"per_second": 3.0})
    assert now.median("drain", "Huey, Redis", "per_second") == 3.0
    assert now.median("chord", "Huey, Redis", "seconds") == 2.0
    assert now.failures == ["chord, round 1, Huey: no"]
    assert "One round." in report.markdown(now, SYSTEMS)


def test_bodies_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(probe.FOLDER, str(tmp_path))
    monkeypatch.setattr(probe._Own, "counter", None)
    for _ in range(3):
        probe.hit()
    seen = probe.look(tmp_path)
    assert seen.bodies == 3
    assert seen.first_ns < seen.last_ns
    probe.clear(tmp_path)
    probe.hit()
    assert probe.look(tmp_path).bodies == 1


def test_a_profile_tells_threads_and_functions_apart() -> None:
    base = "thread (1): MainThread;main (x.py:1);PreforkPool.run (/a/site-packages/rt/prefork.py:3)"
    beside = "thread (2): c;Thread.run (threading.py:9)"
    threads = profile_worker.read(
        [
            f"{base};begin (rt/executor.py:4);loads (/usr/lib/python3.11/json.py:9) 3",
            f"{base};begin (rt/executor.py:7) 1",
            f"{beside};Exchanger._pump (rt/exchanger.py:1);f (<string>:2) 5",
            "thread (1): MainThread;importing (y.py:1) 90",
        ]
    )
    bodies, consumer = threads["the bodies"], threads["the consumer"]
    assert (bodies.looks, consumer.looks) == (4, 5)
    assert bodies.alone == {"loads (json.py)": 3, "begin (rt/executor.py)": 1}
    assert (
        bodies.within["begin (rt/executor.py)"]
        == bodies.within["PreforkPool.run (rt/prefork.py)"]
        == 4
    )
    assert consumer.alone == {"f (<string>)": 5}
    assert "| `loads (json.py)` | 75.0% | 75.0% |" in profile_worker.table(bodies, 1)


def test_the_round_trips_of_the_fastest_peer_are_the_measure() -> None:
    results = Results()
    for name, p50, p99 in (
        ("reliable_tasks, Redis", 2.0, 9.0),
        ("Huey, Redis", 5.0, 10.0),
        ("taskiq, streams", 6.0, 7.0),
    ):
        results.add("latency", name, {"start_p50": 1.0, "round_p50": p50, "round_p99": p99})
    found = {v.goal: (v.ratio, v.reached) for v in verdicts(results, SYSTEMS)}
    assert found["Round trip p50, idle, ms: 0.6 x the fastest peer's"] == (0.4, True)
    assert found["Round trip p99, idle, ms: under that peer's"] == (0.9, True)


def test_a_long_run_is_short_with_few_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--messages", "200", "--waiting", "100", "--slices", "1", "--expires", "1", "--reader"]
    long_run.main([*given, "--work", str(tmp_path)])
    name, _, head, _, drained, after = capsys.readouterr().out.strip().splitlines()
    assert name == "reliable_tasks, SQLite (FULL)"
    assert head.startswith(
        "| bodies | a second | CPU µs each | file, MiB | of it free | log, MiB |"
    )
    assert drained.startswith("| 200 |")
    assert "of a core" in after
    assert not list(tmp_path.iterdir())
