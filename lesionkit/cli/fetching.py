"""`lesionkit data fetch`: official releases."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli.shared import BAD_USAGE, FAILED, stop


def fetch(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="ham10000, isic2019, ham10000-masks, isic2018-test.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where it goes; masks go where their images are.")],
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="dataverse, isic or kaggle, if not the usual.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without a terminal nothing is asked either.")] = False,
) -> None:
    """Fetch an official release: size and licence first, then files, checked and unpacked. The same command goes on.

    Example: lesionkit data fetch ham10000 --to DIR
    """
    from lesionkit.data import fetching, kaggle
    from lesionkit.data.releases import RELEASES
    from lesionkit.data.unpacking import readable

    if release not in RELEASES:
        stop(f"no release {release!r}: use {', '.join(RELEASES)}", BAD_USAGE)
    if to.exists() and not to.is_dir():
        stop(f"--to {to}: is a file; give a folder", BAD_USAGE)
    chosen = RELEASES[release]
    try:
        where = chosen.source(source)
    except ValueError as error:
        stop(f"--source: {error}", BAD_USAGE)
    try:
        if where.host == "kaggle":
            kaggle.check(to)
            _say(f"{chosen.title}, from {where.page}, {readable(kaggle.SIZE)}")
            _say(fetching.licence(chosen, where))
            _ask(yes)
            to = kaggle.fetch(where.folder, to)
        else:
            _from_official(chosen, where, to, yes)
        _say(_next(chosen, where, to))
    except fetching.FetchError as error:
        stop(error, FAILED)


def _from_official(release, where, to: Path, yes: bool) -> None:
    from lesionkit.data import fetching
    from lesionkit.data.downloading import Client

    client, progress = Client(say=_warn), Progress()
    plan = fetching.plan(release, where, to, client, progress)
    if plan.remotes:
        _say(plan.render())
        _ask(yes)
    else:
        _say(f"{release.title} is whole in {to}, as it was fetched: nothing to fetch")
    if plan.remotes or plan.late:
        fetching.carry_out(plan, client, _say, progress)


def _next(release, where, to: Path) -> str:
    """What to do with a release that is there, as commands that work on what came."""
    from lesionkit.data import fetched

    if release.use == "study":
        return f"Next: lesionkit data check {to}"
    name = Path(where.files[0]).stem
    if release.use == "masks":
        return (f"Next: nothing, if the images lie in {to} too: a study finds masks below them. If they lie elsewhere: "
                f"lesionkit run full --data DIR --set masks={to.absolute() / name}")  # fmt: skip
    entries = fetched.read(to, release.title, where.host)
    labels, images = (entries[name]["contents"] for name in where.files)
    table = to / min(labels, key=lambda path: Path(path).stem != name)  # a licence may lie beside it
    images = to / next(iter(images)).partition("/")[0]
    return (f"Next: lesionkit data check {images} --labels {table}\n"
            f"Then, of a run such as outputs/full: lesionkit validate outputs/full --images {images} --labels {table} "
            "--out validated")  # fmt: skip


class Progress:
    """On a terminal a line that is rewritten; elsewhere, as in a batch system's log, a line every half minute."""

    def __init__(self) -> None:
        self.what, self.next, self.first, self.start = "", 0.0, 0, 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        from lesionkit.data.unpacking import readable

        now, live = time.monotonic(), sys.stderr.isatty()
        if what != self.what:
            self.what, self.next, self.first, self.start = what, now if live else now + 30, done, now
        ended = live and done == total
        if now < self.next and not ended:
            return
        self.next = now + (0.2 if live else 30)
        speed = f", {readable(int(max(0, done - self.first) / (now - self.start)))}/s" if now > self.start else ""
        line = f"{what}: {readable(done)} of {readable(total)}{speed}"
        print(f"\r{line}\033[K" if live else line, end="\n" if ended or not live else "", file=sys.stderr, flush=True)


def _ask(yes: bool) -> None:
    if sys.stdin.isatty() and not yes:
        typer.confirm("Fetch it?", abort=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(("\r\033[K" if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)
