"""Speech Commands v2: 105 829 recordings of 35 English words, up to 1 s, WAV at 16 kHz, and background noise.

P. Warden, arXiv 1804.03209, CC BY 4.0. ``{word}/{speaker}_nohash_{take}.wav``; the files of ``validation_list.txt`` and
``testing_list.txt`` are validation and test, all others training, so that no speaker is in two of them. The longer
recordings of ``_background_noise_`` belong to no word.

There are 35 words. Programs that speak of 37 classes count "unknown" and "silence" besides, of which this set has no
recording.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from ..core.errors import DataError
from .files import FileSet, WantedFile
from .trees import locate_tree
from .wav import read_wav

RATE = 16_000
TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The commands of the task with twelve classes."""
WORDS = (
    *TEN,
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"),
    *("backward", "follow", "forward", "learn", "visual"),
)
"""All words."""
_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
_NOISE = "_background_noise_"
_NAMED = "_nohash_"
_LISTED = 5  # names in a message before it says "and so many more"

SPEECH_COMMANDS = FileSet(
    name="speech_commands",
    title="Speech Commands v2",
    files=tuple(WantedFile(name) for name in (*_LISTS.values(), f"*/*{_NAMED}*.wav", f"{_NOISE}/*.wav")),
    layout=f"{{word}}/{{speaker}}{_NAMED}{{take}}.wav, validation_list.txt, testing_list.txt and {_NOISE}/",
    folders=("speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02"),
    advice="unpack speech_commands_v0.02.tar.gz there",
)


@dataclasses.dataclass(frozen=True)
class Command:
    """One recording: its file, the word, and who speaks."""

    path: Path
    word: str
    speaker: str

    @property
    def name(self) -> str:
        """Word and file, as the lists have it."""
        return f"{self.word}/{self.path.name}"


@dataclasses.dataclass(frozen=True)
class Commands:
    """The tree: the recordings of each split, by name, and the files of background noise."""

    splits: dict[str, list[Command]]
    noises: list[Path]


def find_commands(root: str | Path | None) -> Commands:
    """What there is, without decoding it.

    Raises:
        DataError: files missing; a folder that is no word; a list that names a file which is not there, or a file of
            the other list; a list that is empty.
    """
    folder, found = locate_tree(SPEECH_COMMANDS, root)
    commands: dict[str, Command] = {}
    for path in found[f"*/*{_NAMED}*.wav"]:
        if path.parent.name not in WORDS:
            raise DataError(f"{path.parent}: '{path.parent.name}' is none of the {len(WORDS)} words of this set.")
        one = Command(path, path.parent.name, path.name.split(_NAMED)[0])
        commands[one.name] = one
    listed = {split: _listed(folder / name, commands) for split, name in _LISTS.items()}
    both = set(listed["validation"]) & set(listed["test"])
    if both:
        raise DataError(f"{folder}: {len(both)} file(s) are in both lists: {_some(sorted(both))}.")
    held = {name for names in listed.values() for name in names}
    splits = {split: [commands[name] for name in names] for split, names in listed.items()}
    splits["train"] = [one for name, one in commands.items() if name not in held]
    return Commands(splits, found[f"{_NOISE}/*.wav"])


def read_command(path: Path) -> Tensor:
    """The samples of a recording, float32 ``[samples]``.

    Raises:
        DataError: no WAV file, cut off, empty, not mono, or not at 16 kHz.
    """
    wave, _ = read_wav(path, rate=RATE)
    if wave.shape[1] != 1:
        raise DataError(f"{path}: expected one channel, got {wave.shape[1]}.")
    return wave[:, 0]


def _listed(path: Path, commands: dict[str, Command]) -> list[str]:
    try:
        names = sorted({line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()})
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: {error.reason} at byte {error.start}.", "get it again") from error
    absent = [name for name in names if name not in commands]
    if absent:
        raise DataError(
            f"{path}: {len(absent)} of the {len(names)} files that it names are not there, the others are: "
            f"{_some(absent)}.",
            "unpack the whole archive",
        )
    if not names:
        raise DataError(f"{path} names no file.", "get it again")
    return names


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
