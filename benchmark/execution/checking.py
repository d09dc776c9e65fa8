"""Users' activations checked before runs are named, in a process that can be ended."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from benchmark.activations import Activation, add_entry, packing, resolve
from benchmark.activations.fingerprint import fingerprint
from benchmark.errors import RequestError
from benchmark.execution import interrupts
from benchmark.execution.local import main_module_hidden
from benchmark.execution.task import Settings, configure_for, error_line, output_into
from benchmark.formatting import listing

if TYPE_CHECKING:
    from benchmark.activations.checks import Verdict

# By name, fingerprint and device: what this process has checked.
_verdicts: dict[tuple[str, str, str], "Verdict"] = {}


def check_own(
    names: Iterable[str], settings: Settings, seconds: float, say: Callable[[str], None]
) -> None:
    """Check those of the named activations that are the user's, and register what was found.

    One that cannot be compiled is marked so: its runs have a name of their own. What is being done,
    and warnings, are said.

    Args:
        names: of activations.
        settings: what TensorFlow is set to in training.
        seconds: how long the check of one may take.
        say: shows a line.

    Raises:
        RequestError: one of them cannot be trained with; the message names it.
    """
    own = [entry for name in dict.fromkeys(names) if (entry := resolve(name)).is_user]
    hashes = [fingerprint(replace(entry, compiled=True)) for entry in own]
    keys = [(entry.name, sha256, settings.device) for entry, sha256 in zip(own, hashes)]
    new = {key: entry for key, entry in zip(keys, own) if key not in _verdicts}
    if new:
        say(f"Checking your activations: {listing(name for name, *_ in new)}.")
        _verdicts.update(zip(new, checked(list(new.values()), settings, seconds), strict=True))
    for key, entry in zip(keys, own):
        verdict = _verdicts[key]
        add_entry(replace(entry, compiled=verdict.compiled))
        for warning in verdict.warnings:
            say(f"Warning: {warning}")


def checked(entries: list[Activation], settings: Settings, seconds: float) -> list["Verdict"]:
    """Check the entries, one after another, in a process of their own.

    Raises:
        RequestError: one of them cannot be trained with, does not end, or ends its process.
    """
    context = multiprocessing.get_context("spawn")
    answers, sender = context.Pipe(duplex=False)
    arguments = (sender, packing.pack(entries), settings)
    process = context.Process(target=_answer, args=arguments, daemon=True)
    try:
        # It leaves Ctrl-C to this process.
        with main_module_hidden(), interrupts.held():
            process.start()
        sender.close()
        _received(answers, "the check of your activations")
        verdicts = []
        for entry in entries:
            if not answers.poll(seconds):
                raise RequestError(
                    f"activation {entry.name!r} was not checked within {seconds:g} s: look for a"
                    " loop that does not end, or give more time with --check-seconds"
                )
            verdicts.append(_received(answers, f"activation {entry.name!r}"))
        return verdicts
    finally:
        if process.pid:
            process.kill()
            process.join()
        answers.close()


def _received(answers: Connection, subject: str) -> "Verdict":
    """Return an answer of the process; a text is an error."""
    try:
        answer = answers.recv()
    except EOFError as error:
        raise RequestError(f"{subject} ends the process it runs in") from error
    if isinstance(answer, str):
        raise RequestError(answer)
    return answer


def _answer(sender: Connection, packed: bytes, settings: Settings) -> None:
    """Check the packed entries in this process.

    Sends None when TensorFlow is loaded, then a verdict for each; the text of an error is the last.
    """
    with output_into(os.devnull):
        try:
            configure_for(settings)
            from benchmark.activations.checks import check

            entries = packing.unpack(packed)
            sender.send(None)
            for entry in entries:
                sender.send(check(entry, settings.device))
        except RequestError as error:
            sender.send(str(error))
        except Exception as error:
            sender.send(f"the check of your activations failed: {error_line(error)}")
