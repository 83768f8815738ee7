"""Builds the guide of one client: sections of blocks, every sentence from the language's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from etl_lib.config.environment import SftpAddress
from etl_lib.config.mapping import Feed, FileFormat
from etl_lib.config.pauses import Pause
from etl_lib.config.project import ResolvedMapping
from etl_lib.config.words import SCHOOLS_CODES, Words
from etl_lib.onboarding.guide.blocks import (
    Block,
    Bullets,
    Code,
    Example,
    Guide,
    Heading,
    Table,
    Text,
    code,
)
from etl_lib.onboarding.guide.columns import Columns, file_parts
from etl_lib.onboarding.guide.example import (
    ExampleFile,
    chosen_pattern,
    example_files,
    example_name,
    latest,
)
from etl_lib.report.outbox import REJECTED_HEADER

_RUN_WINSCP = (
    '"C:\\Program Files (x86)\\WinSCP\\WinSCP.com" /ini=nul '
    "/script=C:\\keys\\upload.txt /log=C:\\keys\\upload.log"
)
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Place:
    """Where the school uploads, and to whom it writes; what is None is told it otherwise."""

    sftp: SftpAddress | None
    support: str | None


def build(resolved: ResolvedMapping, words: Words, place: Place) -> Guide:
    """The client's guide. Raises FixTheMapping for a sentence that the language lacks."""
    return _Builder(resolved, words, place).guide()


class _Builder:
    def __init__(self, resolved: ResolvedMapping, words: Words, place: Place) -> None:
        self.resolved, self.day = latest(resolved)
        self.layouts = {name: feed.layouts for name, feed in resolved.mapping.feeds.items()}
        self.mapping, self.say, self.place = self.resolved.mapping, words, place
        self.examples = {one.feed: one for one in example_files(resolved)}
        self.fetches = self.mapping.source.type == "sftp"
        sftp = place.sftp
        self.host = sftp.host if sftp else "your.server"
        self.port = sftp.port if sftp else 22
        self.fingerprint = sftp.fingerprint if sftp else None
        self.user = self.mapping.client_id
        self.support = (
            f"[{place.support}](mailto:{place.support})" if place.support else words("ask.nobody")
        )

    def guide(self) -> Guide:
        title = self.say("title", client=self.mapping.client)
        blocks = (
            Heading(1, title), Text(self.say("lead", client=self.mapping.client), "lead"),
            *self._facts(), *self._start(), *self._files(), *self._feeds(), *self._when(),
            *self._happens(), *self._report(), *self._access(), *self._test(), *self._try(), *self._upload(),
            *self._schedule(), *self._ask(), *self._codes(),
            Text(self.say("made", client=self.mapping.client, client_id=code(self.mapping.client_id))),
        )  # fmt: skip
        return Guide(title, self.say.language, self.say("contents"), blocks)

    # --- at a glance

    def _facts(self) -> Iterator[Block]:
        say, mapping = self.say, self.mapping
        required = sum(feed.required for feed in mapping.feeds.values())
        kinds = [say(f"files.{kind}") for kind in ("full", "changes") if self._feeds_with(kind)]
        said = say(
            "facts.files_said", required=required, optional=len(mapping.feeds) - required,
            content=say.any_of(kinds),
        )  # fmt: skip
        by = mapping.rhythm.expected_by
        when = say("facts.when_any")
        if by:
            when = say(
                "facts.when_by", days=self._days(), hour=f"{by:%H:%M}", zone=mapping.timezone
            )
        where = (
            say("facts.where_fetch", folder=mapping.source.path) if self.fetches else self._where()
        )
        rows = (
            (say("facts.system"), mapping.sis), (say("facts.files"), said), (say("facts.when"), when),
            (say("facts.how"), say("facts.how_fetch" if self.fetches else "facts.how_upload")),
            (say("facts.where"), where), (say("facts.reply"), say("facts.reply_said")),
            (say("facts.ask"), f"{mapping.owner}, {self.support}"),
        )  # fmt: skip
        yield Table((), rows, "facts")

    def _where(self) -> str:
        if self.place.sftp is None:
            return self.say("access.unknown_host")
        return self.say("facts.where_upload", host=self.host, port=self.port, user=self.user)

    def _start(self) -> Iterator[Block]:
        yield Heading(2, self.say("start.heading"), "start")
        yield Bullets(
            tuple(self.say.lines(f"start.{'fetch' if self.fetches else 'upload'}")), numbered=True
        )

    # --- the files

    def _files(self) -> Iterator[Block]:
        say, feeds = self.say, self.mapping.feeds
        yield Heading(2, say("files.heading"), "files")
        number = say("files.one_file") if len(feeds) == 1 else say("files.many_files", n=len(feeds))
        yield Text(say("files.intro", files=number))
        rows = tuple(
            (
                f"[{code(self._file_name(name))}](#{_anchor(name)}){self._other_names(name)}",
                self._holds(name),
                f"**{say('required')}**" if feed.required else say("optional"),
                say(f"files.{feed.content}"),
            )
            for name, feed in feeds.items()
        )
        yield Table(tuple(say.lines("files.table")), rows, "files")
        yield Bullets(tuple(self._naming()))
        yield Heading(3, say("files.format.heading"))
        yield Bullets(tuple(self._format(self._usual())))

    def _file_name(self, feed: str) -> str:
        """How the file is called in this guide; of an archive's member its own name."""
        return PurePosixPath(self.examples[feed].name).name

    def _other_names(self, name: str) -> str:
        feed = self.mapping.feeds[name]
        chosen = chosen_pattern(feed)
        others = [
            self._named(pattern) for pattern in feed.file
            if pattern != chosen and not (feed.member and pattern.endswith(".zip"))
        ]  # fmt: skip
        return (
            f" {self.say('files.also', names=self.say.any_of(map(code, others)))}" if others else ""
        )

    def _named(self, pattern: str) -> str:
        if "*" in pattern or "?" in pattern:
            return pattern
        return example_name(pattern, self.mapping.delivery.date_format, self.day, {})

    def _holds(self, name: str) -> str:
        feed = self.mapping.feeds[name]
        if feed.renames:
            return self.say("feed.renames.new")
        if not feed.entities:
            takers = [
                code(self._file_name(other)) for other, one in self.mapping.feeds.items()
                if any(r.lookup and r.lookup.feed == name for f in one.entities.values() for r in f.columns.values())
            ]  # fmt: skip
            return self.say("feed.looked_up", file=self.say.all_of(takers))
        whole = [
            self.say.entity(self.resolved.entities[n])
            for n, fill in feed.entities.items()
            if fill.insert
        ]
        more = [
            self.say.entity(self.resolved.entities[n])
            for n, fill in feed.entities.items()
            if not fill.insert
        ]
        return " ".join([*whole, *(self.say("feed.completes", what=one) for one in more)])

    def _naming(self) -> Iterator[str]:
        say, delivery = self.say, self.mapping.delivery
        feeds = self.mapping.feeds
        if any("{date}" in pattern for feed in feeds.values() for pattern in feed.file):
            yield say(
                "files.date",
                example=code(self.day.strftime(delivery.date_format)),
                day=say.day(self.day),
            )
        for name, feed in feeds.items():
            for part in file_parts(feed):
                file = self._file_name(name)
                yield say(
                    "files.part",
                    name=chosen_pattern(feed),
                    part=part,
                    value=self._part(name, part, file),
                )
        if any(feed.member for feed in feeds.values()):
            yield say("files.inside_zip")
        if starred := [
            p for feed in feeds.values() for p in feed.file if "*" in p and not p.startswith("*.")
        ]:
            yield say("files.any", pattern=starred[0])
        if delivery.marker:
            marker = example_name(delivery.marker, delivery.date_format, self.day, {})
            yield say("files.marker", name=marker)
        yield say("files.stable", seconds=delivery.stable_s)
        yield say(f"files.encryption_{delivery.encryption}")
        if delivery.signed_by:
            yield say("files.signed")

    def _part(self, feed_name: str, part: str, file: str) -> str:
        """The value of a {part} in the example's name."""
        from etl_lib.extract.match import pattern_of

        found = pattern_of(chosen_pattern(self.mapping.feeds[feed_name])).fullmatch(file)
        return found[part] if found else ""

    def _usual(self) -> Feed:
        """The feed whose format most files have."""
        feeds = list(self.mapping.feeds.values())
        return max(feeds, key=lambda feed: sum(_same(feed.format, other.format) for other in feeds))

    def _format(self, feed: Feed) -> Iterator[str]:
        say, form = self.say, feed.format
        yield self._written(form)
        yield (
            say("files.format.encoding", encoding=code(form.encoding))
            if form.encoding
            else say("files.format.encoding_free")
        )
        if not form.widths:
            yield say("files.format.quote")
        refuses = all(one.extra_columns == "refuse" for one in self.mapping.feeds.values())
        yield say("files.format.headers_refused" if refuses else "files.format.headers")
        tokens = list(feed.values.null_tokens)
        empty = say("files.format.empty")
        yield (
            f"{empty} {say('files.format.tokens', tokens=say.all_of(map(code, tokens)))}"
            if tokens
            else empty
        )
        yield say("files.format.spreadsheet")
        if form.footer:
            yield say("files.format.footer")

    def _written(self, form: FileFormat) -> str:
        say = self.say
        if form.widths:
            return say("files.format.widths", widths=", ".join(map(str, form.widths)))
        delimiter = say(f"files.format.delimiters.{form.delimiter_character or ','}")
        return say(
            "files.format.csv" if form.header else "files.format.no_header", delimiter=delimiter
        )

    # --- each file

    def _feeds(self) -> Iterator[Block]:
        for name, feed in self.mapping.feeds.items():
            yield from self._feed(name, feed)

    def _feed(self, name: str, feed: Feed) -> Iterator[Block]:
        say = self.say
        columns = Columns(self.resolved, name, say)
        yield Heading(3, code(self._file_name(name)), _anchor(name))
        said = [self._holds(name), say("feed.needed" if feed.required else "feed.not_needed")]
        if feed.allow_empty:
            said.append(say("feed.may_be_empty"))
        if feed.min_rows:
            said.append(say("feed.least", n=feed.min_rows))
        began = [one.effective_from for one in self.layouts[name]]
        if began:
            said.append(say("files.since", day=say.day(max(began))))
        yield Text(" ".join(said))
        differs = list(self._differs(feed))
        if differs:
            yield Text(" ".join([say("files.format.other"), *differs]), "note")
        yield Table(tuple(say.lines("feed.columns")), columns.rows(), "columns")
        if rules := tuple(columns.rules()):
            yield Bullets(rules)
        yield self._example(self.examples[name])

    def _differs(self, feed: Feed) -> Iterator[str]:
        """How the file is written otherwise than most."""
        form, usual = feed.format, self._usual().format
        if not _same(form, usual):
            yield self._written(form)
            if form.encoding != usual.encoding and form.encoding:
                yield self.say("files.format.encoding", encoding=code(form.encoding))
        if form.skip_lines and form.skip_lines != usual.skip_lines:
            yield self.say("files.format.skip", n=form.skip_lines)
        if form.footer and not usual.footer:
            yield self.say("files.format.footer")

    def _example(self, example: ExampleFile) -> Example:
        name = PurePosixPath(example.name).name
        return Example(
            name, self.say("feed.download", name=name), example.content, example.text, example.rows
        )

    # --- when

    def _days(self) -> str:
        days = [day for day in _WEEK if day in self.mapping.calendar.sends_on]
        if len(days) == len(_WEEK):
            return self.say("when.days.all")
        if days == list(_WEEK[:5]):
            return self.say("when.days.school")
        return self.say(
            "when.days.some", days=self.say.all_of(self.say(f"weekdays.{day}") for day in days)
        )

    def _when(self) -> Iterator[Block]:
        say, mapping = self.say, self.mapping
        yield Heading(2, say("when.heading"), "when")
        rhythm = mapping.rhythm
        if mapping.schedule is None or not mapping.enabled:
            yield Text(say("when.by_hand"))
        elif rhythm.expected_by:
            hour, zone = f"{rhythm.expected_by:%H:%M}", mapping.timezone
            yield Text(say("when.agreed", days=self._days(), hour=hour, zone=zone))
            if rhythm.deadline:
                yield Text(say("when.deadline", hour=f"{rhythm.deadline:%H:%M}"))
        else:
            yield Text(say("when.never_late"))
        if mapping.schedule and mapping.enabled:
            yield Text(say("when.looks", schedule=self._looks(mapping.schedule)))
        for key, pauses in (
            ("off", mapping.calendar.holidays), ("blackout", mapping.blackout), ("additions", mapping.additions_only),
        ):  # fmt: skip
            if pauses:
                yield Text(say(f"when.{key}"))
                yield Bullets(tuple(map(self._pause, pauses)))
        yield Text(say("when.again"))
        yield Text(say("when.announce"), "note")

    def _looks(self, schedule: str) -> str:
        """A daily schedule as an hour, any other as it is written."""
        minute, hour, *rest = (*schedule.split(), "", "")[:5]
        if minute.isdigit() and hour.isdigit() and rest[:2] == ["*", "*"]:
            return self.say("when.looks_at", hour=f"{int(hour):02}:{int(minute):02}")
        return self.say("when.looks_cron", cron=schedule)

    def _pause(self, pause: Pause) -> str:
        key, first, last = "when.off_days", self.say.day(pause.from_), self.say.day(pause.to)
        if pause.from_ == pause.to:
            key = "when.off_day"
        return self.say(key, **{"from": first, "to": last, "reason": pause.reason})

    # --- what happens

    def _feeds_with(self, content: str) -> list[str]:
        return [name for name, feed in self.mapping.feeds.items() if feed.content == content]

    def _happens(self) -> Iterator[Block]:
        say = self.say
        yield Heading(2, say("happens.heading"), "happens")
        for content in ("full", "changes"):
            if names := self._feeds_with(content):
                yield Text(
                    say(
                        f"happens.{content}",
                        files=say.all_of(code(self._file_name(n)) for n in names),
                    )
                )
        deleting = [fill for fill in self.resolved.fills() if fill.deletes_absent]
        if deleting:
            files = dict.fromkeys(code(self._file_name(fill.feed_name)) for fill in deleting)
            yield Text(say("happens.absent", entities=say.all_of(files)))
            if any(fill.rules.scope_by for fill in deleting):
                yield Text(say("happens.absent_scope"))
        elif self._feeds_with("full"):
            yield Text(say("happens.absent_none"))
        yield Text(say("happens.bad_rows"))
        share = f"{round(self.mapping.limits.fail.rejected_share * 100)} %"
        said = ("whole", "same_id", "references")
        yield Bullets(
            (say("happens.too_many", share=share), *(say(f"happens.{key}") for key in said))
        )

    def _report(self) -> Iterator[Block]:
        say = self.say
        yield Heading(2, say("report.heading"), "report")
        yield Text(say("report.intro"))
        columns = ", ".join(map(code, REJECTED_HEADER))
        yield Bullets((say("report.summary"), say("report.rejected", columns=columns)))
        yield Text(f"{say('report.line')} {say('report.privacy')}")
        yield Text(say("report.english"))

    def _codes(self) -> Iterator[Block]:
        say = self.say
        yield Heading(2, say("codes_heading"), "codes")
        header = tuple(say.lines("codes_table"))
        known = [one for one in SCHOOLS_CODES if self._can_come(one.code)]
        for key in ("rows", "whole"):
            yield Heading(3, say(f"codes_{key}"))
            wanted = (one for one in known if _is_of_rows(one.code) == (key == "rows"))
            yield Table(
                header, tuple((code(one.code), *say.message(one)) for one in wanted), "codes"
            )

    def _can_come(self, name: str) -> bool:
        """Whether this school's report can hold the code."""
        rules = [rule for fill in self.resolved.fills() for rule in fill.rules.columns.values()]
        feeds = self.mapping.feeds.values()
        conditions = {
            "FILE_MANIFEST": "oneroster" in self.mapping.sis.lower().replace(" ", ""),
            "MANIFEST_CONTRADICTED": "oneroster" in self.mapping.sis.lower().replace(" ", ""),
            "HOOK_DROPPED_ROW": any(fill.rules.hook for fill in self.resolved.fills()),
            "LOOKUP_NOT_FOUND": any(rule.lookup for rule in rules),
            "FILE_COLUMN_UNKNOWN": any(feed.extra_columns == "refuse" for feed in feeds),
            "FILE_TOO_FEW_ROWS": any(feed.min_rows for feed in feeds),
            "ROW_WIDTH": any(feed.format.widths for feed in feeds),
            "TEST_NOT_MARKED": self.mapping.delivery.marker is not None,
            "FILE_SIGNATURE": self.mapping.delivery.signed_by is not None,
            "EXPECTATION_NOT_MET": any(feed.expectations for feed in feeds),
            "EXPECTATION_FAILED": any(feed.expectations for feed in feeds),
        }
        return conditions.get(name, True)

    # --- access

    def _given(self) -> dict[str, str]:
        return {
            "host": self.host, "port": str(self.port), "user": self.user, "support": self.support,
            "folder": self.mapping.source.path if self.fetches else "C:\\keys",
        }  # fmt: skip

    def _access(self) -> Iterator[Block]:
        say, given = self.say, self._given()
        yield Heading(2, say("access.heading"), "access")
        if self.fetches:
            yield Text(say("access.fetch.intro", folder=self.mapping.source.path))
            yield Bullets(tuple(say.lines("access.fetch.steps")))
            yield Text(say("access.fetch.tell"))
            yield Text(say("access.fetch.never"))
            yield Text(say("access.fetch.reports"))
        yield Table((), tuple(self._address()), "facts")
        yield Text(say("access.key", support=self.support))
        compare = (
            say("access.compare", fingerprint=self.fingerprint)
            if self.fingerprint
            else say("access.compare_later")
        )
        yield Text(compare, "note")
        given["folder"] = "C:\\keys"
        yield Heading(3, say("access.windows.heading"), "windows")
        yield Bullets(tuple(say.lines("access.windows.steps", **given)), numbered=True)
        if not self.fetches:
            yield Text(say("access.windows.auto"))
            yield Code(self._winscp())
            yield Code(_RUN_WINSCP)
        yield Heading(3, say("access.unix.heading"), "unix")
        yield Text(say("access.unix.steps"))
        yield Text(say("access.unix.key"))
        yield Code(f'ssh-keygen -t ed25519 -f ~/.ssh/school_upload -C "{self.user}"')
        yield Text(say("access.unix.send"))
        yield Code("cat ~/.ssh/school_upload.pub")
        yield Text(say("access.unix.login"))
        yield Code(self._sftp())
        if not self.fetches:
            yield Text(say("access.unix.auto"))
            yield Code(self._script())
            hour = self._upload_hour()
            yield Text(say("access.unix.cron", hour=f"{hour:02}:00", zone=self.mapping.timezone))
            yield Code(f"0 {hour} * * * $HOME/upload.sh")

    def _address(self) -> Iterator[tuple[str, str]]:
        say = self.say
        is_known = self.place.sftp is not None
        yield say("access.protocol"), "SFTP (SSH)"
        yield say("access.host"), code(self.host) if is_known else say("access.unknown_host")
        yield say("access.port"), code(str(self.port)) if is_known else say("access.unknown_host")
        yield say("access.user"), code(self.user)
        yield say("access.login"), say("access.login_said")
        if not self.fetches:
            yield say("access.inbox"), code("inbox")
        yield say("access.outbox"), code("outbox")
        yield (
            say("access.fingerprint"),
            code(self.fingerprint) if self.fingerprint else say("access.fingerprint_later"),
        )

    def _sftp(self, *options: str) -> str:
        words = [
            "sftp",
            *options,
            "-P",
            str(self.port),
            "-i",
            "~/.ssh/school_upload",
            f"{self.user}@{self.host}",
        ]
        return " ".join(words)

    def _upload_hour(self) -> int:
        """Two hours before the files are expected, and no earlier than midnight."""
        by = self.mapping.rhythm.expected_by
        return max(by.hour - 2, 0) if by else 4

    def _patterns(self) -> list[str]:
        """What the example files have in common: `*.csv`."""
        return [
            f"*{ending}"
            for ending in dict.fromkeys(
                PurePosixPath(e.name).suffix for e in self.examples.values()
            )
        ]

    def _script(self) -> str:
        puts = "\n".join(f"put {pattern}" for pattern in self._patterns())
        return f"#!/bin/sh\ncd \"$HOME/export\" || exit 1\n{self._sftp('-b', '-')} <<'END'\ncd inbox\n{puts}\nEND"

    def _winscp(self) -> str:
        known = self.fingerprint.removeprefix("SHA256:") if self.fingerprint else "FINGERPRINT"
        lines = [
            "option batch abort",
            f'open sftp://{self.user}@{self.host}:{self.port}/ -hostkey="ssh-ed25519 255 {known}" '
            '-privatekey="C:\\keys\\school_upload.ppk"',
            "lcd C:\\export",
            "cd inbox",
            *(f"put {pattern}" for pattern in self._patterns()),
            "exit",
        ]
        return "\n".join(lines)

    def _test(self) -> Iterator[Block]:
        say, given = self.say, self._given()
        yield Heading(2, say("access.test.heading"), "test")
        key = "fetch_steps" if self.fetches else "steps"
        yield Bullets(tuple(say.lines(f"access.test.{key}", **given)), numbered=True)
        yield Heading(3, say("access.test.trouble"))
        problems = say.lines("access.test.problems", **given)
        yield Bullets(tuple(problems[:-1] if self.fetches else problems))

    def _try(self) -> Iterator[Block]:
        yield Heading(2, self.say("try.heading"), "try")
        yield Text(self.say("try.intro"))
        yield Bullets(tuple(self.say.lines("try.steps")))

    def _upload(self) -> Iterator[Block]:
        say = self.say
        yield Heading(2, say("upload.heading"), "upload")
        key = "upload.fetch_steps" if self.fetches else "upload.steps"
        yield Bullets(tuple(say.lines(key, **self._given())))

    def _schedule(self) -> Iterator[Block]:
        say, mapping = self.say, self.mapping
        yield Heading(2, say("schedule.heading", system=mapping.sis), "schedule")
        if mapping.export_help:
            yield Bullets(tuple(say.lines(f"exports.{mapping.export_help}")))
        yield Text(say("schedule.then"))

    def _ask(self) -> Iterator[Block]:
        say, mapping = self.say, self.mapping
        yield Heading(2, say("ask.heading"), "ask")
        yield Text(say("ask.owner", owner=mapping.owner))
        account = (
            say("ask.account", number=mapping.account_number) if mapping.account_number else ""
        )
        yield Text(say("ask.support", support=self.support, account=account))
        if mapping.contacts:
            yield Text(say("ask.contacts", contacts=say.all_of(mapping.contacts)))


def _anchor(feed_name: str) -> str:
    return f"file-{feed_name.replace('_', '-')}"


def _is_of_rows(shown: str) -> bool:
    return not shown.startswith(
        (
            "FILE_",
            "TEST_",
            "TOO_",
            "NOT_RECEIVED",
            "NOTHING",
            "DELIVERY",
            "MANIFEST",
            "EXPECTATION_FAILED",
        )
    )


def _same(one: FileFormat, other: FileFormat) -> bool:
    """Whether two files are written alike."""
    keys = ("encoding", "delimiter", "quote", "widths", "header")
    return all(getattr(one, key) == getattr(other, key) for key in keys)


def known_anchors(guide: Guide) -> Mapping[str, str]:
    """Headings of the second level by anchor, for a table of contents."""
    return {
        block.anchor: block.text for block in guide.blocks
        if isinstance(block, Heading) and block.level == 2 and block.anchor
    }  # fmt: skip
