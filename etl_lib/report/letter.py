"""The mail that tells a school's contacts of a report: in their language, with counts and file names only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from etl_lib.config.mapping import Mapping
from etl_lib.config.words import FIRST, Words
from etl_lib.errors import EtlError, Fault, TryAgain
from etl_lib.manifest import Extracted
from etl_lib.messages import Owner
from etl_lib.metrics.acts import Act, doing_once
from etl_lib.metrics.ledger import Ledger, RejectedRow
from etl_lib.metrics.status import RunStatus
from etl_lib.run import Run

log = logging.getLogger(__name__)
_ATTEMPTS = 3
_MOST_TOLD = 15  # files, and faults; the report has all


@dataclass(frozen=True)
class Letter:
    """A mail in plain text; `about`: what it tells, and the same is told to a school once."""

    to: tuple[str, ...]
    subject: str
    text: str
    about: str


@dataclass(frozen=True)
class Post:
    """How mails are written and sent.

    `send` raises TryAgain when the mail server may take it later, FixTheSetup when it refuses.
    `pause_s`: before the second attempt; it grows from one to the next.
    """

    words: Callable[[str], Words]
    send: Callable[[Letter], None]
    support: str = ""
    pause_s: float = 2.0


@dataclass(frozen=True)
class Told:
    """What a report says, as far as a mail repeats it.

    `faults` stopped the run, `remarks` stopped nothing; `would_wait`: a limit is exceeded in a test.
    """

    status: RunStatus
    files: tuple[str, ...]
    faults: Sequence[Fault]
    extracted: Extracted | None
    rejects: Sequence[RejectedRow] = field(repr=False)
    would_wait: bool = False
    remarks: Sequence[Fault] = ()

    @property
    def rows(self) -> dict[str, int]:
        """How many rows of each file were kept out."""
        return Counter(file for file, _ in {(row[0], row[1]) for row in self.rejects})


def tell(run: Run, mapping: Mapping, told: Told, post: Post) -> None:
    """Write to the school's contacts, when there is something that they do about it; never raises.

    The same about the same is told once, by whichever run and however often it is repeated. A mail that
    cannot be sent is a message of the run; a repeated report tries again.
    """
    kind = kind_of(run, told)
    if kind is None or not mapping.contacts:
        return
    ledger = Ledger(run.database_url)
    try:
        letter = letter_of(run, mapping, told, kind, post)
        many = f"{len(letter.to)} contact{'s' if len(letter.to) > 1 else ''}"
        text = f"{many} told by mail: {letter.subject}."
        with doing_once(run.database_url, run, Act.MAIL, letter.about, text) as is_new:
            if is_new:
                _sent(letter, post)
        if is_new:
            ledger.say(run, "report", [])
    except EtlError as error:
        _not_sent(ledger, run, error.faults[0].text)
    except Exception as error:  # noqa: BLE001 (a mail never decides over a run, whatever it meets)
        _not_sent(ledger, run, f"The mail could not be made or sent ({type(error).__name__}).")


def _sent(letter: Letter, post: Post) -> None:
    again = Retrying(
        retry=retry_if_exception_type(TryAgain), stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=post.pause_s, max=30), reraise=True,
    )  # fmt: skip
    again(post.send, letter)


def _not_sent(ledger: Ledger, run: Run, text: str) -> None:
    log.warning("[MAIL_NOT_SENT] %s", text)
    try:
        ledger.say(run, "report", [Fault("MAIL_NOT_SENT", text)])
    except EtlError as error:  # the database is away as well: the log has it
        log.warning("%s", error.faults[0].text)


def kind_of(run: Run, told: Told) -> str | None:
    """Which of the mails under `mail` of a language file it is; None: there is nothing to tell.

    What only we can mend is no school's affair, unless it has asked by a test. That nothing has come is
    told when a scheduled run says it, not when one of us has looked before the hour.
    """
    ours = not any(fault.message.owner is Owner.SCHOOL for fault in told.faults)
    if run.kind == "test":
        if told.status == RunStatus.SUCCEEDED:
            return "test_good"
        if told.status == RunStatus.SUCCEEDED_WITH_REJECTS:
            return "test_rejects"
        if told.status == RunStatus.AWAITING_APPROVAL:
            return "test_held"
        return "test_ours" if ours else "test_failed"
    if told.status == RunStatus.SUCCEEDED_WITH_REJECTS:
        return "rejects"
    if ours or run.kind != "load" or run.wishes.dry_run:
        return None
    if told.status == RunStatus.NOT_RECEIVED:
        return None if run.wishes.by else "missing"
    return "failed" if told.status == RunStatus.FAILED else None


def letter_of(run: Run, mapping: Mapping, told: Told, kind: str, post: Post) -> Letter:
    """The mail of a kind. Raises FixTheMapping for a sentence that the language lacks."""
    say = post.words(mapping.language)
    rows = _number(say, sum(told.rows.values()))
    client = " ".join(mapping.client.split())
    folder = "outbox/test" if run.kind == "test" else "outbox"
    blocks = [
        [say(f"mail.{kind}.lead", client=client, rows=rows)],
        [say("mail.would_wait")] if told.would_wait else [],
        list(_files(say, told)),
        list(_faults(say, told)),
        [say("mail.report", folder=folder), *(f"- {name}" for name in told.files)],
        [say(f"mail.{kind}.todo")],
        [say("mail.questions", support=post.support or mapping.owner)],
        [say("mail.once")],
    ]
    return Letter(
        to=mapping.contacts,
        subject=say(f"mail.{kind}.subject", client=client, rows=rows),
        text="\n\n".join("\n".join(block) for block in blocks if block) + "\n",
        about=_about(run, mapping, told, kind),
    )


def _about(run: Run, mapping: Mapping, told: Told, kind: str) -> str:
    """The same status of the same delivery; without a delivery the same faults of one day."""
    if run.kind == "test":
        return f"mail {run.run_id} {kind}"
    if told.extracted:
        return f"mail {kind} {told.extracted.delivery.delivery_seq}"
    faults = ",".join(sorted({fault.code for fault in told.faults}))
    return f"mail {kind} {mapping.local_date(run.started_at)} {faults}"


def _files(say: Words, told: Told) -> Iterator[str]:
    if not told.extracted or not told.extracted.tables:
        return
    read = Counter[str]()
    for table in told.extracted.tables:
        read[table.shown] = max(read[table.shown], table.rows_read)
    yield say("mail.files")
    for name, rows in list(read.items())[:_MOST_TOLD]:
        out = _number(say, told.rows.get(name, 0))
        yield "- " + say("mail.file", file=name, read=_number(say, rows), rejected=out)
    yield from _more(say, len(read))


def _faults(say: Words, told: Told) -> Iterator[str]:
    """What the school can do something about; in English as the report says it, else by its code."""
    wanted = [
        one
        for one in dict.fromkeys((*told.faults, *told.remarks))
        if one.message.owner is Owner.SCHOOL
    ]
    if wanted:
        yield say("mail.faults")
    for fault in wanted[:_MOST_TOLD]:
        meaning, remedy = say.message(fault.message)
        what = f"{fault}" if say.language == FIRST else f"{fault.where}: {meaning}".lstrip(": ")
        yield f"- {what} {remedy} ({fault.code})"
    yield from _more(say, len(wanted))


def _more(say: Words, number: int) -> Iterator[str]:
    if number > _MOST_TOLD:
        yield "- " + say("mail.more", n=number - _MOST_TOLD)


def _number(say: Words, number: int) -> str:
    return f"{number:,}".replace(",", say("thousands"))
