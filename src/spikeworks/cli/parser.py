"""The grammar of the command line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from ..core.errors import ConfigError, UnknownName

COMMANDS = {
    "quickstart": "train four neurons on the built-in task, print the table, write the report",
    "run": "train one neuron on one task",
    "compare": "train several neurons, or with several methods, and several seeds on one task",
    "sweep": "search settings of one run with Optuna, choosing on validation",
    "arena": "whole tables of runs: list the suites, or run one",
    "probe": "does a task need temporal processing, and how long a memory? three networks, two gains, a verdict",
    "gradients": "what every learning method keeps of the full gradient, layer by layer, as a table and a page",
    "memory": "what every learning method holds in memory against length and depth, measured and foretold",
    "neuron": "one neuron on one page: conventions, cost, and pictures of what it does",
    "list": "names of tasks, neurons, recipes and more",
    "show": "one run in numbers",
    "report": "all runs as one HTML page",
    "query": "SQL over all runs and their epochs",
    "site": "all runs as a site: leader boards, and a page for every task, neuron and run",
    "submit": "check a run from somewhere else and take it into a folder of runs",
    "denoise": "a sound file, or a live stream, without its noise, by the network of a run",
    "export": "the network of a run as a NIR file, for other libraries, or as C99, for small devices",
    "doctor": "what this machine offers: compiler, kernels, GPU, data",
    "data": "get the files of a task, make them, or hear which are wanted",
}
LISTS = (
    *("tasks", "neurons", "networks", "recipes", "optimizers", "schedules", "methods", "surrogates"),
    *("energy-profiles", "energy-conventions"),
)

_LEAVES = (
    "Every setting of a run is an option as well: --model.neuron.decay 0.95, --task.by row, "
    "--optimizer.clip None. Add --describe to see them all."
)


_DESCRIBED = ("run", "compare", "sweep", "probe", "gradients", "memory")
_NEURON_LEAVES = "Every setting of the neuron is an option as well: --neuron.decay 0.95."


class Parser(argparse.ArgumentParser):
    """Raises errors instead of printing a usage page, and knows near misses."""

    def error(self, message: str) -> NoReturn:
        """One sentence; the caller prints it and exits with 2."""
        raise ConfigError(f"{message[:1].upper()}{message[1:]}.", f"{self.prog} --help shows all options")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse, and name the nearest option where one is unknown."""
        read, left = self.parse_known_args(list(words))
        if left:
            options = [o for o in self._option_string_actions if o.startswith("--")]
            word = left[0].partition("=")[0]
            near = difflib.get_close_matches(word, options, n=2, cutoff=0.6) if word.startswith("-") else []
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            kind = "option" if word.startswith("-") else "argument"
            raise ConfigError(f"{self.prog}: {kind} {word} is unknown.{meant}", f"{self.prog} --help shows all options")
        return read


def overview() -> str:
    """The page of ``spikeworks --help``."""
    lines = [f"  {name:<11} {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "spikeworks trains, compares and deploys spiking neural networks for signals that unfold in time.",
            "",
            "usage: spikeworks COMMAND [options]",
            "",
            *lines,
            "",
            "spikeworks COMMAND --help shows the options of a command, spikeworks --version the version.",
        ]
    )


def parser_for(command: str) -> Parser:
    """The parser of one command.

    Raises:
        UnknownName: no such command.
    """
    if command not in COMMANDS:
        raise UnknownName("command", command, COMMANDS, "spikeworks --help shows what each of them does")
    parser = Parser(
        prog=f"spikeworks {command}",
        description=COMMANDS[command],
        epilog=_LEAVES if command in _DESCRIBED else _NEURON_LEAVES if command == "neuron" else None,
        allow_abbrev=False,
    )
    _FILL[command](parser)
    return parser


def _places(parser: Parser) -> None:
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: the GPU where there is one")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=60.0, metavar="S", help="between checkpoints within an epoch"
    )


def _plugin(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE",
        help="Python file that registers your own neuron, network, learning method, task, optimizer ...",
    )  # fmt: skip


def _subject(parser: Parser, title: str) -> None:
    what = parser.add_argument_group(title)
    what.add_argument("--task", metavar="NAME", help="see: spikeworks list tasks")
    what.add_argument("--csv", metavar="FILE", help="your own labelled series: a row for each time step")
    what.add_argument("--label-column", metavar="NAME", help="column of --csv with the label (default: label)")
    what.add_argument("--id-column", metavar="NAME", help="column of --csv that tells series apart (default: id)")
    what.add_argument("--time-column", metavar="NAME", help="column of --csv to sort a series by")
    _plugin(what)


def _training(parser: Parser) -> None:
    _places(parser)
    _subject(parser, "what is trained")
    how = parser.add_argument_group("how")
    how.add_argument("--epochs", metavar="N")
    how.add_argument("--batch-size", metavar="N")
    how.add_argument("--learning-rate", metavar="RATE")
    how.add_argument("--network", metavar="NAME", help="see: spikeworks list networks (default: the task's)")
    how.add_argument("--hidden", nargs="+", metavar="N", help="widths of the layers of a stack")
    how.add_argument("--patience", metavar="N", help="epochs without progress before training stops")
    how.add_argument("--max-seconds", metavar="S", help="training seconds")
    how.add_argument("--optimizer", metavar="NAME", help="see: spikeworks list optimizers")
    how.add_argument("--schedule", metavar="NAME", help="see: spikeworks list schedules")
    how.add_argument("--method", metavar="NAME", help="how it learns (default: bptt); see: spikeworks list methods")
    how.add_argument("--describe", action="store_true", help="print all settings, train nothing")
    how.add_argument("--predict-memory", action="store_true", help="print what training keeps in memory, train nothing")


def _run(parser: Parser) -> None:
    _training(parser)
    parser.add_argument("--neuron", metavar="NAME", help="see: spikeworks list neurons")
    parser.add_argument("--recipe", metavar="NAME", help="instead of --task; see: spikeworks list recipes")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--label", metavar="TEXT", help="name in tables")


def _compare(parser: Parser) -> None:
    _training(parser)
    parser.add_argument("--neurons", metavar="A,B,C", help="see: spikeworks list neurons")
    parser.add_argument("--methods", metavar="A,B,C", help="see: spikeworks list methods")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many, counted from 0 (default: 3)")
    parser.add_argument("--budget", metavar="KIND", help="params: equal parameter counts; time: equal training seconds")


def _sweep(parser: Parser) -> None:
    _run(parser)
    how = parser.add_argument_group("the sweep")
    how.add_argument("--trials", type=int, default=20, metavar="N", help="of all processes together (default: 20)")
    how.add_argument("--study", default="study.journal", metavar="FILE", help="shared by all processes")
    how.add_argument(
        "--param", action="append", default=[], metavar="NAME=RANGE",
        help="learning_rate=1e-4..1e-1:log, model.neuron.decay=0.5..0.99, optimizer.clip=None,0.25,1; may be repeated",
    )  # fmt: skip
    how.add_argument("--no-prune", action="store_true", help="carry every trial to its end")
    how.add_argument("--sampler-seed", type=int, metavar="N", help="draw the same trials again (one process alone)")


def _arena(parser: Parser) -> None:
    parser.add_argument("action", choices=("list", "run"), help="list: what suites there are; run: train one")
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="see: spikeworks arena list")
    _places(parser)
    parser.add_argument(
        "--budget", default="small", metavar="SIZE", help="small: within an hour on two cores; full: as published"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="how many, counted from 0 (default: the suite's)")
    parser.add_argument("--only", action="append", default=[], metavar="TASK", help="this task alone; may be repeated")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="this model alone; may be repeated"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="train nothing: list the runs with an estimate of time and memory"
    )
    parser.add_argument("--site", default="site", metavar="DIR", help="where the pages go (default: site)")
    parser.add_argument("--no-site", action="store_true", help="write no pages")
    _plugin(parser)


def _probe(parser: Parser) -> None:
    parser.add_argument("probed", nargs="?", metavar="TASK", help="see: spikeworks list tasks")
    _training(parser)
    parser.add_argument("--neuron", metavar="NAME", help="see: spikeworks list neurons (default: lif)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many, counted from 0 (default: 3)")
    parser.add_argument("--readouts", metavar="A,B", help="of mean, last, sum, leaky (default: mean,last)")
    parser.add_argument(
        "--horizons", default="short", metavar="KIND",
        help="curves of memory and credit: none; short: windows a factor of 4 apart; full: 2, for every readout",
    )  # fmt: skip
    parser.add_argument(
        "--least", type=float, default=0.02, metavar="GAIN", help="smallest gain that counts (default: 0.02)"
    )
    parser.add_argument("--output", metavar="FILE", help="page or folder (default: probe-TASK-NEURON.html in --out)")


def _methods(parser: Parser) -> None:
    _subject(parser, "which network")
    parser.add_argument("--neuron", metavar="NAME", help="see: spikeworks list neurons")
    parser.add_argument("--recipe", metavar="NAME", help="instead of --task; see: spikeworks list recipes")
    parser.add_argument("--network", metavar="NAME", help="see: spikeworks list networks (default: the task's)")
    parser.add_argument("--hidden", nargs="+", metavar="N", help="widths of the layers of a stack")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and of what is drawn at random")
    parser.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: the GPU where there is one")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    how = parser.add_argument_group("how")
    how.add_argument("--methods", metavar="A,B,C", help="see: spikeworks list methods (default: all)")
    how.add_argument("--batch-size", metavar="N", help="sequences of a batch (default: the recipe's, at most 32)")
    parser.set_defaults(label=None)


def _gradients(parser: Parser) -> None:
    _methods(parser)
    parser.add_argument("--batches", type=int, default=1, metavar="N", help="over how many to average (default: 1)")
    parser.add_argument("--trained", metavar="RUN", help="a run instead of --task: before and after training")
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument("--output", default=".", metavar="FILE", help="page or folder (default: gradients.html here)")


def _memory(parser: Parser) -> None:
    _methods(parser)
    parser.add_argument("--steps", metavar="A,B,C", help="lengths (default: 25,50,100,200)")
    parser.add_argument("--depths", metavar="A,B,C", help="numbers of blocks of a chain (default: 2,4,8)")
    parser.add_argument("--foretold", action="store_true", help="only what shapes tell: nothing is run")
    parser.add_argument("--output", default=".", metavar="FILE", help="page or folder (default: memory.html here)")


def _quickstart(parser: Parser) -> None:
    _places(parser)
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="how many (default: 2)")
    parser.add_argument("--epochs", metavar="N")


def _list(parser: Parser) -> None:
    parser.add_argument("what", nargs="?", metavar="WHAT", help=", ".join(LISTS))


def _neuron(parser: Parser) -> None:
    parser.add_argument("action", choices=("show", "describe"), help="show: write an HTML page; describe: print text")
    parser.add_argument("name", metavar="NAME", help="see: spikeworks list neurons")
    parser.add_argument("--output", default=".", metavar="FILE", help="page or folder (default: NAME.html here)")
    _plugin(parser)


def _show(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or the first characters of its name or id")
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    heard = parser.add_argument_group("of a denoiser, on its test clips")
    heard.add_argument("--metrics", metavar="A,B", help="measures of speech instead: stoi, estoi, pesq, dnsmos")
    heard.add_argument("--dnsmos", metavar="MODEL.ONNX", help="the model of the measure dnsmos")
    heard.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")
    _plugin(heard)


def _report(parser: Parser) -> None:
    parser.add_argument("runs", nargs="?", default="runs", metavar="DIR", help="folder of runs (default: runs)")
    parser.add_argument("--output", metavar="FILE", help="default: report.html in that folder")
    parser.add_argument("--task", metavar="NAME", help="only this task")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown instead")
    parser.add_argument(
        "--data", metavar="DIR", help="of denoisers: folder of the real data (default: $SPIKEWORKS_DATA)"
    )
    _plugin(parser)


def _query(parser: Parser) -> None:
    parser.add_argument(
        "sql", nargs="?", metavar="SQL", help="over the tables runs and epochs; without it their columns are shown"
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument("--format", default="table", metavar="FORM", help="table, csv, json or markdown")


def _site(parser: Parser) -> None:
    parser.add_argument("runs", nargs="?", default="runs", metavar="DIR", help="folder of runs (default: runs)")
    parser.add_argument("--out", default="site", metavar="DIR", help="folder of the site (default: site)")
    parser.add_argument("--no-portraits", action="store_true", help="no pages on what each neuron does")


def _submit(parser: Parser) -> None:
    parser.add_argument("directory", metavar="RUN_DIR", help="the directory of one run")
    parser.add_argument("--to", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument(
        "--re-evaluate", action="store_true", help="compute the score from the weights on this machine's data"
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.005, metavar="X",
        help="how far that may lie off: of fractions the difference, else relative (default: 0.005)",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")
    _plugin(parser)


def _export(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or the first characters of its name or id")
    parser.add_argument("--target", choices=("nir", "c"), default="nir", help="a NIR file, or C99 (default: nir)")
    parser.add_argument(
        "--weights", choices=("float32", "int8"), help="of C: int8 has one scale a neuron (default: float32)"
    )
    parser.add_argument("--output", metavar="FILE", help="file or folder (default: RUN.nir or RUN.c here)")
    parser.add_argument("--dt", type=float, default=1e-4, metavar="S", help="seconds a step (default: 1e-4)")
    parser.add_argument(
        "--discretisation", choices=("euler", "exact"), default="euler", help="how readers shall solve the equations"
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")
    _plugin(parser)


def _denoise(parser: Parser) -> None:
    parser.add_argument("source", nargs="?", metavar="IN.WAV", help="the noisy sound")
    parser.add_argument("target", nargs="?", metavar="OUT.WAV", help="where to write, at the network's rate")
    parser.add_argument("--run", required=True, metavar="RUN", help="a run's directory, or the start of its name or id")
    parser.add_argument("--keep-rate", action="store_true", help="bring the output back to the rate of the input")
    parser.add_argument("--mix-down", action="store_true", help="mean of all channels (default: each for itself)")
    parser.add_argument("--live", action="store_true", help="one channel of raw PCM, standard input to output")
    parser.add_argument(
        "--format", choices=("s16le", "f32le"), default="s16le", help="samples of --live (default: s16le)"
    )
    parser.add_argument("--microphone", action="store_true", help="with --live: hear the default device instead")
    parser.add_argument(
        "--reset-after", type=float, metavar="S",
        help="start from rest after so many seconds of silence (default: 2 with --live, never for files)",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=64, metavar="N", help="at most, in one call (default: 64)")
    parser.add_argument(
        "--engine", choices=("auto", "c", "torch"), default="auto",
        help="what runs the network: C where it can be compiled, or PyTorch (default: auto)",
    )  # fmt: skip
    parser.add_argument("--out", default="runs", metavar="DIR", help="folder of all runs (default: runs)")
    parser.add_argument("--data", metavar="DIR", help="folder of the real data; none is read")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    _plugin(parser)


def _doctor(parser: Parser) -> None:
    parser.add_argument("--data", metavar="DIR", help="folder of the real data (default: $SPIKEWORKS_DATA)")


def _data(parser: Parser) -> None:
    parser.add_argument("task", metavar="TASK", help="see: spikeworks list tasks")
    parser.add_argument("--data", metavar="DIR", help="where to put it (default: $SPIKEWORKS_DATA)")
    made = parser.add_argument_group("clips for ndns, mixed from recordings of your own by the challenge's recipe")
    made.add_argument("--clean", metavar="DIR", help="speech: WAV or FLAC of one channel at 16 kHz, in any depth")
    made.add_argument("--noise", metavar="DIR", help="noise, likewise; both need a file or more for each split")
    made.add_argument(
        "--clips", default="600,60,60", metavar="A,B,C", help="for train, validation and test (default: 600,60,60)"
    )
    made.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of a clip (default: 30)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of all choices")
    made.add_argument(
        "--ratios", choices=("true", "dns"), default="true",
        help="dns: those that the challenge's program really makes, which are not the ones in the names",
    )  # fmt: skip


_FILL = {
    "quickstart": _quickstart,
    "run": _run,
    "compare": _compare,
    "sweep": _sweep,
    "arena": _arena,
    "probe": _probe,
    "gradients": _gradients,
    "memory": _memory,
    "neuron": _neuron,
    "list": _list,
    "show": _show,
    "report": _report,
    "query": _query,
    "site": _site,
    "submit": _submit,
    "denoise": _denoise,
    "export": _export,
    "doctor": _doctor,
    "data": _data,
}
