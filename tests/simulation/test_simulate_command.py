"""`tidemark-simulate`: what it prints, how it ends, and that a failure can be seen again."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys

import pytest
from tidemark.simulation.main import main


def test_promises_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "5", "--first", "100"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("5 runs, 0 broken, ")


def test_every_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--story"]) == 0
    out = capsys.readouterr().out
    assert out.count("supervisor begins epoch 1") == 2
    assert "seed 2; again: tidemark-simulate --seeds 1 --first 2 --story\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seeds", "12"],
        ["--crash-everywhere", "--trouble", "write-lost", "--plot", "two-hosts"],
    ],
)
def test_a_failure_can_be_seen_again(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plant = ["--plant", "no generation check"]
    assert main([*arguments, *plant]) == 1
    told, _, rest = capsys.readouterr().out.partition("\nPromiseBroken: ")
    again = shlex.split(told.rpartition("; again: ")[2])
    assert again[0] == "tidemark-simulate"
    assert main([*again[1:], *plant]) == 1
    once_more = capsys.readouterr().out
    assert once_more.startswith(f"{told}\nPromiseBroken: {rest.splitlines()[0]}\n1 runs, 1 broken")


def test_bugs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plants"]) == 0
    assert "no generation check" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--at", "x"], ["--trouble", "rain"]])
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(wrong)
    assert left.value.code == 2
    assert "tidemark-simulate: error: argument" in capsys.readouterr().err


def _started() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tidemark.simulation", "--seeds", "1000000", "--story"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def test_ctrl_c_ends_it_with_the_sum_so_far() -> None:
    with _started() as process:
        assert process.stdout is not None
        assert "supervisor begins epoch 1" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert err == ""
    assert out.splitlines()[-2].endswith(" s")
    assert "0 broken" in out.splitlines()[-2]
    assert out.splitlines()[-1] == "stopped by Ctrl-C before the last one"


def test_a_reader_that_has_enough_ends_it() -> None:
    with _started() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == ""
