"""The catalogue of everything the product says: a code, its meaning, the next step and who takes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Owner(StrEnum):
    """Who takes the next step."""

    SCHOOL = "school"
    ACCOUNT_MANAGER = "account manager"
    DATA_ENGINEER = "data engineer"
    ON_CALL = "on-call"
    NOBODY = "nobody"


class Level(StrEnum):
    """How loud a message is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Message:
    """One entry of the catalogue.

    `meaning` says what happened, `remedy` what to do next, `owner` who does it.
    """

    code: str
    level: Level
    owner: Owner
    meaning: str
    remedy: str


def _row(code: str, meaning: str, remedy: str) -> Message:
    """A fault of one row, which the school mends."""
    return Message(code, Level.WARNING, Owner.SCHOOL, meaning, remedy)


def _file(code: str, meaning: str, remedy: str) -> Message:
    """A fault of a whole file or delivery, which the school mends."""
    return Message(code, Level.ERROR, Owner.SCHOOL, meaning, remedy)


def _mapping(code: str, meaning: str, remedy: str) -> Message:
    """A fault of our own configuration."""
    return Message(code, Level.ERROR, Owner.DATA_ENGINEER, meaning, remedy)


def _system(code: str, meaning: str, remedy: str) -> Message:
    """Something around us does not answer."""
    return Message(code, Level.ERROR, Owner.ON_CALL, meaning, remedy)


_ALL = (
    # --- rows: read ---------------------------------------------------------------------------
    _row(
        "ROW_FIELD_COUNT",
        "The row has more or fewer fields than the header.",
        "Check this line for a missing or extra delimiter, and quote values that contain it.",
    ),
    _row(
        "ROW_QUOTE",
        "A quotation mark is missing or stands where none may stand.",
        "Close the quotation mark, and write a quotation mark inside a value twice.",
    ),
    _row(
        "ROW_ESCAPE",
        "A sign that may be an escape stands before one that needs none: the value cannot be known.",
        "Write a quotation mark inside a value twice, and export without other escapes.",
    ),
    _row(
        "ROW_SECOND_TABLE",
        "The row stands below a second header: two exports or two tables are in one file.",
        "Send one export per file; if the header is printed on every page, tell us.",
    ),
    _row(
        "ROW_FOOTER",
        "The line stands below the rows and is none: a total, a count, or the report's last words.",
        "Export without totals and footers, or tell us how the footer begins.",
    ),
    _row(
        "ROW_WIDTH",
        "The line is longer than the agreed widths of its columns together.",
        "Check this line for a shifted or too long value, or tell us the new widths.",
    ),
    _row(
        "ROW_ENCODING",
        "The row holds bytes that are not text in the file's encoding.",
        "Export the file as UTF-8, or tell us which encoding it has.",
    ),
    _row(
        "ROW_CONTROL_CHARACTER",
        "The row holds a control character that no text has.",
        "Remove the control character (often a NUL) from this row in your system.",
    ),
    _row(
        "ROW_REPLACEMENT_CHARACTER",
        "A letter was already lost when the file was made: the row holds the sign for an unreadable letter.",
        "Correct the value in your system and export the file as UTF-8.",
    ),
    _row(
        "ROW_FIELD_TOO_LONG",
        "A field of the row is longer than any field may be.",
        "Check for a missing quotation mark or a wrong value in this row.",
    ),
    # --- rows: validate and transform -----------------------------------------------------------
    _row("VALUE_MISSING", "A required value is empty.", "Fill in the value in your system."),
    _row(
        "VALUE_NOT_ALLOWED",
        "The value is not one of those agreed upon.",
        "Use one of the allowed values, or tell us what the new value means.",
    ),
    _row(
        "VALUE_NOT_A_DATE",
        "The value is not a date in the agreed format.",
        "Write the date in the agreed format; check that the day exists.",
    ),
    _row(
        "VALUE_NOT_A_TIMESTAMP",
        "The value is not a date and time in the agreed format.",
        "Write date and time in the agreed format, with its time zone.",
    ),
    _row(
        "VALUE_NOT_A_NUMBER",
        "The value is not a number in the agreed format.",
        "Write plain digits, with the agreed decimal sign and no other characters.",
    ),
    _row(
        "VALUE_NOT_YES_OR_NO",
        "The value is not one of the agreed words for yes and no.",
        "Use the agreed words for yes and no.",
    ),
    _row(
        "VALUE_OUT_OF_RANGE",
        "The number or date lies outside what is possible.",
        "Correct the value in your system.",
    ),
    _row(
        "VALUE_TOO_LONG",
        "The value is longer than the field may be.",
        "Shorten the value in your system; check that columns are not shifted.",
    ),
    _row(
        "VALUE_SPREADSHEET_DAMAGE",
        "A spreadsheet has changed the value (a date out of a range, a rounded number, lost zeros, an error sign).",
        "Export again straight from your system, without opening the file in a spreadsheet.",
    ),
    _row(
        "VALUE_MIXED_FORMATS",
        "The column is written in two formats (day and month in either order, percent and fraction, "
        "point and comma), and the value reads differently in the other.",
        "Export the whole column in the agreed format, without joining two exports.",
    ),
    _row(
        "VALUE_PATTERN",
        "The value does not have the agreed form.",
        "Correct the value in your system.",
    ),
    _row(
        "VALUE_ORDER",
        "Two values of the row contradict each other (the end lies before the start).",
        "Correct the two values in your system.",
    ),
    _row(
        "EXPECTATION_NOT_MET",
        "The row breaks a rule that was agreed for this school.",
        "Correct the row in your system; the column names the rule.",
    ),
    _row(
        "DUPLICATE_KEY",
        "Another row of the file has the same key but other values; the last one counts.",
        "Keep one row for each key.",
    ),
    _row(
        "VALUE_SHARED",
        "Several records have the same value where each should have its own, a login for example.",
        "Give each record its own value in your system; until then all of them are kept as they are.",
    ),
    _row(
        "REFERENCE_UNKNOWN",
        "The row points at a record that we have not received, or that is marked as deleted.",
        "Send that record too, not deleted, or correct the reference.",
    ),
    _row(
        "HOOK_DROPPED_ROW",
        "The school's own rule could not work out this row.",
        "Ask your contact at our side; the rule is ours.",
    ),
    _row(
        "LOOKUP_NOT_FOUND",
        "The row needs a value out of another file of the delivery, and it is not there.",
        "Send the other file complete, or correct the reference.",
    ),
    # --- files and deliveries ------------------------------------------------------------------------
    _file(
        "FILE_MISSING",
        "A required file is not in the delivery.",
        "Send the missing file; the whole delivery is then loaded.",
    ),
    _file(
        "FILE_EMPTY",
        "The file is empty.",
        "Export the file again and check that it has rows before sending it.",
    ),
    _file(
        "FILE_HEADER_ONLY",
        "The file has a header and no row.",
        "Export the file again; if it is meant to be empty, tell us.",
    ),
    _file(
        "FILE_NOT_A_TABLE",
        "The file is a printed report or holds several tables, not one table.",
        "Export the data as CSV with one header line and one row per record.",
    ),
    _file(
        "FILE_HEADER_NOT_FOUND",
        "No line of the file looks like the agreed header.",
        "Send the file with the agreed column names in its header.",
    ),
    _file(
        "FILE_COLUMN_MISSING",
        "A required column is not in the file.",
        "Add the column to the export, with the agreed name.",
    ),
    _file(
        "FILE_COLUMN_REPEATED",
        "A column that is needed stands twice in the header.",
        "Keep the column once.",
    ),
    _file(
        "FILE_COLUMN_UNKNOWN",
        "The file has a column that was not agreed upon, and none may be added.",
        "Remove the column from the export, or tell us what it means.",
    ),
    _file(
        "FILE_ENCODING",
        "The file cannot be read as text in the agreed encoding.",
        "Export the file as UTF-8.",
    ),
    _file(
        "FILE_DELIMITER",
        "The fields of the file are not separated by the agreed delimiter.",
        "Export the file with the agreed delimiter.",
    ),
    _file(
        "FILE_QUOTE",
        "The values of the file are not quoted in the agreed way.",
        "Export the file with the agreed quotation mark and escape.",
    ),
    _file(
        "FILE_FIXED_WIDTH",
        "The columns of the file are set in fixed widths, and a delimiter was agreed upon.",
        "Export the data as CSV, or tell us the width of each column.",
    ),
    _file(
        "FILE_SEVERAL_TABLES",
        "The file holds more than one table, or one export behind the other.",
        "Send one table per file; if the header is printed on every page, tell us.",
    ),
    _file(
        "FILE_ARCHIVE_UNREADABLE",
        "The zip or gzip archive is damaged or cut.",
        "Make the archive again and send it again.",
    ),
    _file(
        "FILE_ARCHIVE_REFUSED",
        "The archive would unpack to more than we accept, or holds file names we refuse.",
        "Send an ordinary archive with only the agreed files in it.",
    ),
    _file(
        "FILE_FOR_ANOTHER_KEY",
        "The file was encrypted for a key that we do not have.",
        "Encrypt the file for our public key; ask us for it when you have lost it.",
    ),
    _file(
        "FILE_ENCRYPTION",
        "The encrypted file is damaged, or written in a way that we cannot read.",
        "Encrypt and send it again, with AES, integrity protection, and zip, zlib or no compression.",
    ),
    _file(
        "FILE_NOT_ENCRYPTED",
        "The file is not encrypted, although that was agreed or its name says so.",
        "Encrypt the file for our public key, and do not send it in plain.",
    ),
    _file(
        "FILE_SIGNATURE",
        "The file is not signed with the school's own key, or the signature cannot be checked.",
        "Sign while encrypting, with the agreed key and without compression "
        "(GnuPG: --sign --encrypt --compress-algo none).",
    ),
    Message(
        "FILE_NAME_REFUSED",
        Level.WARNING,
        Owner.SCHOOL,
        "The folder holds links or file names that we do not touch.",
        "Give the file an ordinary name, upload the file itself and no link.",
    ),
    _file(
        "FILE_MANIFEST",
        "The manifest is not written as the OneRoster standard has it.",
        "Correct manifest.csv: propertyName and value, and absent, bulk or delta for each file.",
    ),
    Message(
        "MANIFEST_CONTRADICTED",
        Level.WARNING,
        Owner.SCHOOL,
        "The manifest calls a file absent that is in the delivery; the file was not read.",
        "Correct manifest.csv, or leave the file out.",
    ),
    _file(
        "FILE_NAME_AMBIGUOUS",
        "Two files of the delivery claim to be the same file.",
        "Send each file once.",
    ),
    _file(
        "FILE_TOO_FEW_ROWS",
        "The file has fewer rows than agreed as the least possible.",
        "Check that the export was complete and send it again.",
    ),
    _file(
        "TOO_MANY_REJECTED",
        "More rows are faulty than may be left out.",
        "Correct the listed rows and send the file again; nothing was loaded.",
    ),
    _file(
        "EXPECTATION_FAILED",
        "The file as a whole breaks a rule that was agreed for this school.",
        "Correct the export and send it again; the message names the rule.",
    ),
    _file(
        "NOT_RECEIVED",
        "No complete delivery had come by the agreed time.",
        "Check your scheduled export and upload, and send the files.",
    ),
    _file(
        "NOTHING_SINCE",
        "No new delivery had come by the agreed time; the files that lie there are loaded already.",
        "Check your scheduled export and upload, and send the files.",
    ),
    Message(
        "NOT_EXPECTED",
        Level.INFO,
        Owner.NOBODY,
        "Nothing came, on a day on which the school sends nothing.",
        "Nothing to do; if the school does send on this day, a data engineer corrects its calendar.",
    ),
    Message(
        "DELIVERY_LATE",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "The files came after the agreed hour.",
        "Nothing to do once; if it is so every night, agree on another hour with the school.",
    ),
    _file(
        "DELIVERY_CHANGED",
        "A file was still changing while we read it.",
        "Nothing to do if the upload is still running; otherwise send the file again.",
    ),
    # --- a school's own test, in which nothing is loaded --------------------------------------------------
    Message(
        "TEST_FEED_MISSING",
        Level.WARNING,
        Owner.SCHOOL,
        "Files that every delivery needs were not among those of the test.",
        "Nothing to do when you test single files; rows that refer to records of the others may be left out.",
    ),
    Message(
        "TEST_FILE_LEFT_OUT",
        Level.WARNING,
        Owner.SCHOOL,
        "A file of the test was not read: its name is not one of those agreed upon, or it is of another day.",
        "Compare the name with the guide, and test one export at a time; tell us if the file has to be read.",
    ),
    Message(
        "TEST_NOT_MARKED",
        Level.WARNING,
        Owner.SCHOOL,
        "The file that says that a delivery is complete was not among the files of the test, or not the last.",
        "Nothing to do for a test; in a real delivery upload it last, we wait for it.",
    ),
    Message(
        "TEST_OLDER",
        Level.WARNING,
        Owner.SCHOOL,
        "The files of the test are of an earlier day than the delivery that is loaded.",
        "Nothing to do for a test; a real delivery of that day would be left out.",
    ),
    # --- holds ------------------------------------------------------------------------------------------
    Message(
        "FILE_PERHAPS_CUT",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "The last line of the file has no end, although that of the loaded delivery has one: the upload "
        "may have been cut, and the last value with it; nothing was changed.",
        "Ask the school to send the file again; if its export now ends so, approve.",
    ),
    Message(
        "HOLD_LIMIT",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "The delivery would change more than is usual; nothing was changed.",
        "Ask the school whether this is meant, then approve or refuse.",
    ),
    Message(
        "NOTHING_NEW",
        Level.INFO,
        Owner.NOBODY,
        "The files are the same as those already loaded.",
        "Nothing to do, unless the school expected changes: then its export did not run.",
    ),
    Message(
        "LATE_CHANGES",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "A delivery of changes arrived after a newer one had been loaded.",
        "Ask the school whether it is still wanted, then approve or refuse.",
    ),
    Message(
        "SUPERSEDED",
        Level.INFO,
        Owner.NOBODY,
        "A newer delivery has come, so this older one is left out.",
        "Nothing to do.",
    ),
    Message(
        "HOLD_REFUSED",
        Level.ERROR,
        Owner.ACCOUNT_MANAGER,
        "A person has refused the delivery; nothing was changed.",
        "Ask the school for a corrected delivery. Whoever changes his mind starts the integration with Approve.",
    ),
    Message(
        "HOLD_LAPSED",
        Level.ERROR,
        Owner.ACCOUNT_MANAGER,
        "Nobody approved the delivery in time, so it is refused; nothing was changed.",
        "Ask the school whether it is meant; then start the integration again: it asks once more.",
    ),
    Message(
        "HOLD_ENDED",
        Level.ERROR,
        Owner.ON_CALL,
        "The task that waited for approval was ended in Airflow before anybody decided; nothing was changed.",
        "Clear the task load: it plans the delivery again and asks once more.",
    ),
    Message(
        "CANNOT_DECIDE",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "There is no open hold to decide about.",
        "Look at the run: it has been decided, has lapsed, or a newer delivery took its place.",
    ),
    Message(
        "BLACKOUT",
        Level.WARNING,
        Owner.NOBODY,
        "The mapping says that nothing is loaded on these days; nothing was changed.",
        "Nothing to do: the first run after the pause loads what has come.",
    ),
    Message(
        "FROZEN",
        Level.WARNING,
        Owner.ON_CALL,
        "A person has frozen the client: nothing is loaded until somebody ends that; nothing was changed.",
        "When the reason is gone: `etl many unfreeze`; then run again what was left out, with `etl many rerun`.",
    ),
    # --- once more, out of the archive ------------------------------------------------------------------
    Message(
        "FROM_ARCHIVE",
        Level.INFO,
        Owner.NOBODY,
        "The run took its delivery out of the archive, not out of the inbox.",
        "Nothing to do.",
    ),
    Message(
        "NOTHING_ARCHIVED",
        Level.ERROR,
        Owner.ON_CALL,
        "The archive holds no delivery of the day that a backfill asked for.",
        "Check the day, which is the school's own; files that still lie in the inbox are taken by a run by hand.",
    ),
    Message(
        "BACKFILL_AMBIGUOUS",
        Level.ERROR,
        Owner.ON_CALL,
        "Several deliveries of changes came on one day, and all of them count.",
        "Replay the named runs one after another, with `etl replay` or on the trigger form.",
    ),
    Message(
        "REPLAY_IMPOSSIBLE",
        Level.ERROR,
        Owner.ON_CALL,
        "The run that is to be replayed is not known, or has nothing that can be run again.",
        "Take the number of a run of this school that has read its files; the view shows it.",
    ),
    _system(
        "ARCHIVE_LOST",
        "The archive no longer holds the original files of the delivery as they came.",
        "Restore the object from the bucket's versions or its backup; the school can send its files again.",
    ),
    # --- configuration ------------------------------------------------------------------------------------
    _mapping(
        "MAPPING_INVALID",
        "The mapping has a mistake.",
        "Correct the mapping at the named line; `etl check` shows all mistakes at once.",
    ),
    _mapping(
        "MAPPING_EXISTS",
        "The client has a mapping already.",
        "Take another client id, or write over it with `etl new --replace`.",
    ),
    _mapping(
        "MAPPING_NOT_FOUND",
        "There is no mapping of this name.",
        "Check the client's name; `etl check` lists the mappings.",
    ),
    _mapping(
        "EXPECTATION_NOT_JUDGED",
        "Great Expectations could not judge one of the expectations.",
        "Correct the expectation in the mapping; its name or arguments are wrong.",
    ),
    _mapping(
        "HOOK_FAILED",
        "The mapping's Python hook failed or gave back something other than the agreed frame.",
        "Correct the hook; the message names it.",
    ),
    _mapping(
        "SCHEMA_CHANGE_REFUSED",
        "The entity files ask for a change of a table that could lose data.",
        "Change the table by hand as the message says, then try again.",
    ),
    _mapping(
        "SAMPLE_MISSING",
        "The client has no sample with which its mapping is tested.",
        "Put a small delivery of invented values into the folder that the message names.",
    ),
    _mapping(
        "SAMPLE_NOT_LOADED",
        "A night of the client's sample was not loaded.",
        "Correct the mapping or the sample; the message says what stopped it.",
    ),
    _mapping(
        "COMMIT_UNKNOWN",
        "The commit with which the configuration is to be compared cannot be read from git.",
        "Name a commit that this checkout has, with `--against`; fetch the history that a shallow clone lacks.",
    ),
    _mapping(
        "EXAMPLE_REJECTED",
        "The mapping rejects a row of the example files that the school's guide shows.",
        "Give the column values that fit under `examples` in the mapping.",
    ),
    _mapping(
        "GUIDE_STALE",
        "The kept guide for a school is not what its mapping says.",
        "Look at what changed, write the guide again with `etl guide --all`, and tell the school.",
    ),
    _mapping(
        "LANGUAGE_INCOMPLETE",
        "A language file lacks a sentence, or has one that nothing uses.",
        "Write the sentence under the key that the message names.",
    ),
    # --- around us -----------------------------------------------------------------------------------------
    _system(
        "CONNECTION_MISSING",
        "A connection that the environment names does not exist.",
        "Create the connection in Airflow or set the variable; the message names it.",
    ),
    _system(
        "SNAPSHOT_MISSING",
        "A worker does not have the mappings with which the run began, and the bucket has not kept them.",
        "Start a new run; see docs/scaling.md for how snapshots reach the workers.",
    ),
    _system(
        "CONNECTION_UNSAFE",
        "A connection would trust any server that answers in the school's place.",
        "Ask the school for its server's host key and put it into the connection.",
    ),
    _system(
        "PGP_KEY_UNUSABLE",
        "Our private key for encrypted files cannot be used.",
        "Put the armored private key and its passphrase into the connection; the message names it.",
    ),
    _system(
        "DATABASE_UNAVAILABLE",
        "The ETL database does not answer.",
        "Check the database; the run is repeated by itself.",
    ),
    _system(
        "STORAGE_UNAVAILABLE",
        "The object storage does not answer or refuses us.",
        "Check bucket, endpoint and key; the run is repeated by itself.",
    ),
    _system(
        "SOURCE_UNAVAILABLE",
        "The place from which the school's files come does not answer or refuses us.",
        "Check the connection, its key and its host key; the run is repeated by itself.",
    ),
    _system(
        "DISK_FULL",
        "A disk of ours has no room left; nothing was changed.",
        "Make room on the disk that the message names; the run is repeated by itself.",
    ),
    _system(
        "LOAD_BUSY",
        "Another load of this client is under way.",
        "Nothing to do; the run is repeated by itself.",
    ),
    _system(
        "STAGE_LOST",
        "The files of an earlier stage are no longer there.",
        "Clear the whole run so that it begins again with extract.",
    ),
    _system(
        "STAGE_STOPPED",
        "A stage was ended from outside: by a person, a time limit or the machine.",
        "Clear the failed task: it goes on where it stopped, and nothing is half loaded. "
        "If it happens again, look at the worker's memory.",
    ),
    _system(
        "RUN_NEVER_BEGAN",
        "Airflow ended the run before its first task had recorded anything.",
        "Look at the run's tasks in Airflow, then clear the run.",
    ),
    Message(
        "CANNOT_CHECK_NOW",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "A new run cannot be started now.",
        "Wait until the run at work has ended; a paused integration is switched on in Airflow by on-call.",
    ),
    _system(
        "RUN_TIMED_OUT",
        "The run took longer than it may, and Airflow ended it.",
        "Clear the run; if it is slow again, look at its stages for the one that hangs.",
    ),
    _system(
        "REPORT_LOST",
        "The delivery was loaded, but the report for the school was not written.",
        "Clear the task report; nothing is loaded twice.",
    ),
    Message(
        "MAIL_NOT_SENT",
        Level.WARNING,
        Owner.ON_CALL,
        "The school's contacts could not be told by mail; the run itself is not touched by that.",
        "Check the connection smtp_default and the addresses under `contacts`, and tell the school yourself "
        "this time: its report lies in the outbox.",
    ),
    # --- many clients at once ----------------------------------------------------------------------------
    _system(
        "AIRFLOW_UNAVAILABLE",
        "Airflow's own database does not answer, or this machine does not know where it is.",
        "Call the command where Airflow runs: with AIRFLOW_HOME, or AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, set.",
    ),
    _system(
        "SELECTION_INVALID",
        "What is to be acted on is not said, or names something that is not there.",
        "Correct the option that the message names; nothing was looked at and nothing was changed.",
    ),
    _system(
        "NOT_AS_SHOWN",
        "What was shown can no longer be done as it was shown.",
        "Look again, with the command that showed it; then apply what that shows.",
    ),
    # --- a client's access, health and end ---------------------------------------------------------------
    _file(
        "KEY_REFUSED",
        "What the school sent as its public key cannot be used.",
        "Make a new pair with `ssh-keygen -t ed25519` (PuTTYgen: EdDSA) and send us the public file as it is.",
    ),
    _file(
        "KEY_PRIVATE",
        "A private key was sent where the public one belongs, so it is no secret any more.",
        "Delete the file, the mail and every copy; make a new pair, and send only its public half.",
    ),
    Message(
        "PROVISION_REFUSED",
        Level.ERROR,
        Owner.DATA_ENGINEER,
        "The access cannot be changed in the way that was asked for; nothing was changed.",
        "Correct the options as the message says; `etl provision CLIENT --dry-run` shows what is there.",
    ),
    _system(
        "PROVISION_UNAVAILABLE",
        "The place where SFTP users are made does not answer, refuses us, or is not named.",
        "Mend what the message names, then call the same command again; what is done already stays.",
    ),
    _system(
        "SHARED_PARTS",
        "What all clients share in AWS (server, bucket, role, key) is missing or not safe.",
        "Apply deploy/terraform for the environment; its README says how. No user was made or changed.",
    ),
    Message(
        "ACCESS_NOT_RIGHT",
        Level.ERROR,
        Owner.DATA_ENGINEER,
        "The school cannot log in, or its access is not as it must be.",
        "Look with `etl provision CLIENT --dry-run`, then put it right with the same command without it.",
    ),
    _system(
        "BUCKET_OPEN",
        "A bucket answers people without a login, so that anybody could read pupils' data.",
        "Close it now: block all public access on the bucket; then find out who has read it.",
    ),
    _system(
        "OUTBOX_NOT_WRITABLE",
        "No report can be written into the school's outbox.",
        "Let the key of the connection write below clients/ in the bucket of the schools' folders.",
    ),
    _system(
        "HOST_KEY_DIFFERS",
        "The SFTP server shows another host key than the one that was handed out.",
        "Find out whether the server was changed on purpose; never let schools accept a key that you do not know.",
    ),
    _system(
        "TABLES_NOT_MIGRATED",
        "The tables are not as the entity files say.",
        "Run `etl migrate`; the next run of any client does it as well.",
    ),
    _mapping(
        "SAMPLE_FAILS",
        "The client's own sample does not pass the stages.",
        "Correct the mapping or the sample: `etl run CLIENT --files DIR --dry-run` shows what becomes of it.",
    ),
    _mapping(
        "SCHEDULE_DOUBTFUL",
        "The schedule or the time zone does not fit the hours at which files are expected.",
        "Correct `timezone`, `schedule` or `delivery` in the mapping.",
    ),
    _system(
        "DAG_NOT_SEEN",
        "Airflow does not run the client's integration.",
        "Look at the import errors in Airflow, at the dag-processor, and whether the integration is paused.",
    ),
    Message(
        "RETIRE_UNDECIDED",
        Level.ERROR,
        Owner.DATA_ENGINEER,
        "Nobody has said what becomes of the data of a client that leaves; nothing was changed.",
        "Look into the contract; then `--keep-data` or `--erase`, or `retention:` in the mapping.",
    ),
    _system(
        "RETIRE_IMPOSSIBLE",
        "The client cannot be retired as things are.",
        "Do what the message says, then call the same command again; what is done already stays.",
    ),
    # --- undo and reconcile ------------------------------------------------------------------------------
    Message(
        "UNDONE_DELIVERY",
        Level.WARNING,
        Owner.ACCOUNT_MANAGER,
        "A delivery that was undone has come again; nothing was changed.",
        "Ask the school for corrected files; approve only if these are right after all.",
    ),
    _system(
        "RUN_NOT_FOUND",
        "There is no run of this number or id.",
        "Look the run up in the view or with `SELECT run_seq, run_id FROM etl.run`, and ask again.",
    ),
    _system(
        "RUN_AMBIGUOUS",
        "More than one run, or a client and a run, may be meant.",
        "Name the run by its number, or say which client's with `--client`.",
    ),
    _system(
        "UNDO_NOTHING",
        "The run has nothing to put back.",
        "Check which run you mean; to bring back what was undone, undo the undo.",
    ),
    _system(
        "UNDO_BLOCKED",
        "Later runs changed the same rows, or rows that refer to them; nothing was changed.",
        "Undo the named runs first, in the order in which they are named, then this one.",
    ),
    _system(
        "UNDO_EXPIRED",
        "The rows' earlier values are kept only for a set time, and the run lies further back.",
        "Nothing was changed. Ask the school to send the right files again.",
    ),
    Message(
        "RECONCILE_EDITED",
        Level.WARNING,
        Owner.ON_CALL,
        "Rows of the target were edited by somebody else than a load.",
        "The next run loads the delivery again and puts them right; find out who writes to the tables.",
    ),
    Message(
        "RECONCILE_LOST",
        Level.WARNING,
        Owner.ON_CALL,
        "Rows of the loaded delivery are missing or deleted in the target.",
        "The next run loads the delivery again and brings them back; find out who removed them.",
    ),
    Message(
        "RECONCILE_EXTRA",
        Level.WARNING,
        Owner.ON_CALL,
        "The target shows rows that the loaded delivery no longer has.",
        "The next run loads the delivery again and deletes them; find out who brought them back.",
    ),
    Message(
        "RECONCILE_NOTHING",
        Level.INFO,
        Owner.NOBODY,
        "There is no loaded delivery to compare the target with.",
        "Nothing to do; compare again once a delivery is loaded.",
    ),
    _system(
        "INTERNAL",
        "Something happened that we did not foresee.",
        "Read the Airflow log of the failed task and report it to the data engineers.",
    ),
)

CATALOGUE: dict[str, Message] = {message.code: message for message in _ALL}
if len(CATALOGUE) != len(_ALL):  # a code written twice would hide the first text
    raise RuntimeError("a message code stands twice in the catalogue")


def message(code: str) -> Message:
    """The catalogue's entry for `code`; raises KeyError for a code that does not exist."""
    return CATALOGUE[code]
