"""Data: bring a series, confirm how it is read, see what is wrong with it, and look at all of it."""

from __future__ import annotations

import io
import time
import zoneinfo
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import UserError
from core.settings import settings
from core.ui import boot, profile, query, repairs, resources, state, theme, widgets
from core.ui.charts import overview

if TYPE_CHECKING:
    from core.data.card import Audit, DatasetCard, Place
    from core.data.choice import Choice, Proposal
    from core.data.samples import Sample
    from core.data.series import Series

FILLS = {
    "keep": "Keep the gaps",
    "linear": "Draw a line across",
    "forward": "Repeat the last value",
    "seasonal": "As in the seasons around",
    "drop": "Leave out their rows",
}
DUPLICATES = {"mean": "Their mean", "first": "The first", "last": "The last"}
GAPS = {"insert": "Insert rows without values", "keep": "Keep the rows as they are"}
NO_TIME = "No time column, count the rows"
THOUSANDS = {"": "None", ",": "Comma", ".": "Point", " ": "Space", "'": "Apostrophe"}
SHOWN = 4  # variates drawn at first
INCOMING, MAKING = "incoming", "making"  # in the session: a file that waits, and that a rule is being chosen
LONGEST_STOP = 10.0  # seconds a training may take to stop before its folder is removed


# -- bringing a series ------------------------------------------------------------------------------------------------


def upload(first: bool) -> None:
    """The way in for a file; what waits to be confirmed is kept in the session until it is added or left."""
    opened = first or INCOMING in st.session_state or st.session_state.get("data-door") == "upload"
    with st.expander("Upload a file", icon=":material/upload_file:", expanded=opened, key="upload"):
        files = st.file_uploader(
            "A table with a header row",
            help="CSV, TSV, Parquet, Excel, Arrow (Feather) or JSON records; also as gzip or zip. Several files with "
            "the same columns become one dataset, one under the other in the order of their names.",
            key=f"file-{st.session_state.get('file-round', 0)}",
            max_upload_size=settings().max_upload_mb,
            accept_multiple_files=True,
        )
        held = st.session_state.get(INCOMING)
        if not files:
            discard()
        elif held is None or held["files"] != [file.file_id for file in files]:
            discard()
            receive(files)


def samples() -> None:
    """The bundled series: the real one in one click, those that a rule makes behind one control."""
    from core.data.samples import SAMPLES

    real = SAMPLES["co2"]
    with st.container(border=True, key="sample-card-co2"):
        st.markdown(f"**{widgets.plain(real.title)}**")
        widgets.note(widgets.plain(real.description))
        if st.button("Add this sample", key="sample-co2", icon=":material/add:"):
            keep_sample(real)
    with st.container(border=True, key="sample-card-rule"):
        st.markdown("**A series whose rule is known**")
        widgets.note(
            "SYN1 to SYN8, or a rule of your own: y follows some features at some lags, and the others are there to "
            "mislead. A saliency map of y can be right or wrong here."
        )
        if st.button("Choose the rule", key="sample-rule", icon=":material/function:"):
            leave()
            st.session_state[MAKING] = True
            st.rerun()


def make(controls: Any) -> None:
    """A series whose rule is known: its settings, its picture, and the button that stores it with its truth."""
    from core.data.samples import known
    from core.ui import rule

    heading.markdown("**A series whose rule is known**")
    chosen = rule.choose(controls)
    with controls:
        widgets.note(f"Stored as {widgets.plain(chosen.name)}" if chosen else "Not ready to be stored")
        add = st.button(
            "Add this series",
            type="primary",
            key="add-rule",
            width="stretch",
            icon=":material/check:",
            disabled=chosen is None,
        )
        if add and chosen:
            keep_sample(known(chosen))
        if st.button("Leave it", key="leave-rule", width="stretch", icon=":material/close:"):
            leave()
            st.rerun()


def keep_sample(sample: Sample) -> None:
    """Store it and show it; one that is there already, value for value, is not doubled."""
    with st.spinner("Adding the sample"):
        series, card = sample.open()
        store = resources.store()
        there = [old.id for old in store.datasets() if old.kind == "sample" and old.fingerprint == series.fingerprint]
        state.put(dataset=there[0] if there else store.add_dataset(series, card))
    leave()
    st.rerun()


def leave() -> None:
    """Back to the datasets: whatever waited is dropped, and the ways in are closed."""
    discard()
    st.session_state.pop(MAKING, None)
    st.session_state["file-round"] = st.session_state.get("file-round", 0) + 1
    st.session_state.pop("data-door", None)


def receive(files: list[Any]) -> None:
    """Keep the upload under our own name and look at how it may be read. A problem is said in words, and kept."""
    from core.data.read import sniff
    from core.data.unpack import unpack

    path, limit = None, settings().max_upload_mb
    name = files[0].name if len(files) == 1 else f"{Path(files[0].name).stem} and {len(files) - 1} more.zip"
    held: dict[str, Any] = {"files": [file.file_id for file in files], "source": name, "name": name}
    try:
        path = kept = resources.keep_upload(files, Path(name).suffix.lower().lstrip(".") or "csv")
        table = unpack(kept, name, limit, kept.parent)
        if table.path != kept:
            kept.unlink()
            path = table.path
        held |= {"path": path, "name": table.name, "unpacked": table.findings}
        held["proposal"] = sniff(path, table.name, limit)
    except UserError as error:
        held["problem"] = str(error)
        if path:
            path.unlink(missing_ok=True)
    st.session_state[INCOMING] = held
    st.session_state.pop(MAKING, None)


def discard() -> None:
    """Forget the file that waits, and remove it."""
    held = st.session_state.pop(INCOMING, None)
    if held and "path" in held:
        held["path"].unlink(missing_ok=True)


# -- confirming how it is read ----------------------------------------------------------------------------------------


@st.cache_resource(scope="session", max_entries=2, show_spinner="Reading the file")
def read(path: str, name: str, choice_json: str) -> tuple[Series, Audit] | UserError:
    """The series and its audit under this choice; an upload belongs to one session. A problem is kept as an error."""
    from core.data.choice import Choice
    from core.data.read import parse

    try:
        choice = Choice.model_validate_json(choice_json)
        return parse(Path(path), choice, name, settings().max_upload_mb, settings().max_cells)
    except UserError as error:
        return error


def confirm(held: dict[str, Any], controls: Any) -> None:
    """What the file seems to be, for the person to agree or correct; then its audit, then it is added."""
    proposal: Proposal = held["proposal"]
    with controls:
        choice, name = ask(held, proposal)
        add = st.container()
        if st.button("Leave it", key="leave", width="stretch", icon=":material/close:"):
            leave()
            st.rerun()
    st.markdown(f"**{widgets.plain(held['name'])}**, its first three rows as they will be read")
    three_rows(proposal, choice)
    for warning in (*(finding.sentence for finding in held["unpacked"]), *proposal.warnings):
        widgets.note(widgets.plain(warning))
    found = read(str(held["path"]), held["name"], choice.model_dump_json()) if choice else None
    if isinstance(found, tuple):
        found = found[0], found[1].after(held["unpacked"])
    if isinstance(found, UserError):
        widgets.problem(found)
    if add.button(
        "Add dataset",
        type="primary",
        key="add",
        width="stretch",
        icon=":material/check:",
        disabled=not isinstance(found, tuple),
    ) and isinstance(found, tuple):
        state.put(dataset=keep(held, name, choice, *found))
        leave()
        st.rerun()
    if isinstance(found, tuple):
        series, audit = found
        facts(len(series), audit.step, audit.start, audit.end, series.zone)
        versions(held, series)
        audit_table(audit)
        if choice:
            repairs.offer(held, audit, choice)
            unmended = read(str(held["path"]), held["name"], choice.unmended.model_dump_json())
            if isinstance(unmended, tuple):
                repairs.compare(unmended[0], series)
            take_home(held, audit, choice)


@st.cache_data(scope="session", max_entries=4, show_spinner="Comparing with what is stored")
def differences(stored: str, _series: Series, fingerprint: str) -> list[str]:
    """What this series has that the stored one has not, and the reverse."""
    from core.data.versions import changes

    return changes(resources.store().series(stored), _series)


def earlier(source: str, variates: tuple[str, ...]) -> DatasetCard | None:
    """The newest dataset from a file of this name that has one of these variates."""

    def same(card: DatasetCard) -> bool:
        return card.kind == "upload" and card.source == source and not set(variates).isdisjoint(card.variates)

    return next(filter(same, resources.store().datasets()), None)


def versions(held: dict[str, Any], series: Series) -> None:
    """Says so where a file of this name was added before, and what is different now."""
    before = earlier(held["source"], series.variates)
    if before is None:
        return
    named = f"{widgets.plain(before.name)}, added {before.created_at:%Y-%m-%d %H:%M} UTC"
    found = differences(before.id, series, series.fingerprint)
    if not found:
        st.info(f"The same values are stored already: {named}.", icon=":material/content_copy:")
        return
    said = " ".join(widgets.plain(sentence) for sentence in found)
    st.info(f"Version {before.version + 1} of {named}. As both are read and mended: {said}", icon=":material/history:")


def keep(held: dict[str, Any], name: str, choice: Choice | None, series: Series, audit: Audit) -> str:
    """Store what was read, with the card that says how, and return the id."""
    from core.data.card import DatasetCard

    series = replace(series, name=name.strip() or held["name"])
    before = earlier(held["source"], series.variates)
    again: dict[str, Any] = {}
    if before:
        found = differences(before.id, series, series.fingerprint)
        again = {"version": before.version + 1, "previous": before.id, "changes": found, "tags": before.tags}
    card = DatasetCard.of(
        series,
        audit,
        **again,
        source=held["source"],
        time_column=choice.time_column if choice else None,
        choice=choice.model_dump() if choice else None,
    )
    return resources.store().add_dataset(series, card)


def take_home(held: dict[str, Any], audit: Audit, choice: Choice) -> None:
    """How the file is read, to repeat it, and what of it could not be read."""
    from core.data.rejects import WHY, rejected_csv

    stem = file_name(Path(held["name"]).stem) or "file"
    with st.container(horizontal=True):
        st.download_button(
            "Repairs (JSON)",
            choice.model_dump_json(indent=2),
            f"{stem}-repairs.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help="How this file is read and mended; `python -m core ingest FILE --repairs` does the same again.",
        )
        if any(finding.kind in WHY for finding in audit.findings):
            limits = settings().max_upload_mb, settings().max_cells
            st.download_button(
                "What could not be read (CSV)",
                lambda: rejected_csv(held["path"], choice, held["name"], *limits),
                f"{stem}-rejected.csv",
                "text/csv",
                icon=":material/download:",
                on_click="ignore",
                help="Every such row and cell with its reason, the first 10,000 of a kind.",
            )


def ask(held: dict[str, Any], proposal: Proposal) -> tuple[Choice | None, str]:
    """The questions beside the rows; the choice is None while an ambiguous date order is not settled."""
    names = [column.name for column in proposal.columns]
    name = st.text_input("Name", value=Path(held["name"]).stem[:80], key="new-name", max_chars=120)
    times = [NO_TIME, *names]
    at = times.index(proposal.time_column) if proposal.time_column else 0
    timed = st.selectbox("Time column", range(len(times)), index=at, format_func=lambda i: times[i], key="new-time")
    time_column = names[timed - 1] if timed else None
    parts = proposal.date_parts if time_column == proposal.time_column else []
    used = {time_column, *parts}
    time_of_day = series_column = None
    if time_column is not None and len(names) > 2:
        others = [n for n in names if n not in used]
        marked = {column.name for column in proposal.columns if column.role in ("text", "series")}
        clocks = any(":" in text for c in proposal.columns if c.name in others for text in c.examples)
        if proposal.time_of_day or clocks or time_column != proposal.time_column:
            time_of_day = one_of("Time of day", others, proposal.time_of_day, "new-clock", "Where it stands apart.")
        if proposal.series_column or marked:
            series_column = one_of(
                "Name of the series",
                [n for n in others if n != time_of_day],
                proposal.series_column,
                "new-series",
                "In a long table each row belongs to one of several series; each becomes a variate.",
            )
        used |= {time_of_day, series_column}
    values = st.multiselect(
        "Value columns",
        [n for n in names if n not in used],
        default=[n for n in proposal.value_columns if n not in used],
        key=f"new-values-{timed}-{time_of_day}-{series_column}",
    )
    day_first = None
    if proposal.ambiguous and time_column == proposal.time_column:
        readings = list(proposal.ambiguous)
        day_first = st.radio(
            "Which date order is it?",
            readings,
            index=None,
            format_func=lambda r: f"{r.capitalize()} :gray[{widgets.plain(', '.join((proposal.ambiguous or {})[r]))}]",
            key="new-order",
            help="Day and month cannot be told apart from the values alone, so this is never guessed.",
        )
        if day_first is None:
            widgets.note("Choose one of the two readings to go on.")
            return None, name
    fill = st.selectbox("Missing values", list(FILLS), format_func=lambda f: FILLS[f], key="new-fill")
    duplicates = st.selectbox(
        "Rows of one time", list(DUPLICATES), format_func=lambda d: DUPLICATES[d], key="new-twice"
    )
    with st.expander("More about the times and numbers", icon=":material/tune:"):
        gaps = st.selectbox("Gaps in time", list(GAPS), format_func=lambda g: GAPS[g], key="new-gaps")
        zones = sorted(zoneinfo.available_timezones())
        zone = st.selectbox(
            "Zone of the times",
            zones,
            index=zones.index(proposal.zone),
            key="new-zone",
            help="For times without an offset.",
        )
        marks = [".", ","]
        decimal = st.selectbox("Decimal mark", marks, index=marks.index(proposal.decimal), key="new-decimal")
        groups = list(THOUSANDS)
        thousands = st.selectbox(
            "Thousands mark",
            groups,
            index=groups.index(proposal.thousands),
            format_func=lambda mark: THOUSANDS[mark],
            key="new-thousands",
        )
        if time_column is not None:
            repairs.ask_step(held)
    choice = proposal.choice.model_copy(
        update={
            "time_column": time_column,
            "date_parts": parts,
            "time_of_day": time_of_day,
            "series_column": series_column,
            "value_columns": values,
            "day_first": None if day_first is None else day_first == "day first",
            "fill": fill,
            "duplicates": duplicates,
            "gaps": gaps,
            "zone": zone,
            "decimal": decimal,
            "thousands": thousands,
            **held.get("changes", {}),
        }
    )
    return choice, name


def one_of(label: str, names: list[str], proposed: str | None, key: str, help: str) -> str | None:
    """A column or none."""
    options = ["None", *names]
    at = options.index(proposed) if proposed in names else 0
    chosen = st.selectbox(label, range(len(options)), index=at, format_func=lambda i: options[i], key=key, help=help)
    return names[chosen - 1] if chosen else None


def three_rows(proposal: Proposal, choice: Choice | None) -> None:
    """The first rows as text, with the stamps as they are understood in front."""
    import pandas as pd

    columns = [column.name for column in proposal.columns]
    table = pd.DataFrame(proposal.rows, columns=pd.Index(range(len(columns))), dtype="str")
    names = {str(i): st.column_config.TextColumn(name) for i, name in enumerate(columns)}
    table.columns = table.columns.astype(str)
    times = proposal.times
    if proposal.ambiguous and choice is not None and choice.day_first is not None:
        times = proposal.ambiguous["day first" if choice.day_first else "month first"]
    if choice is not None and choice.time_column == proposal.time_column and len(times) >= len(table):
        table.insert(0, "understood", times[: len(table)])
        names["understood"] = st.column_config.TextColumn("time understood", pinned=True)
    st.dataframe(table, hide_index=True, column_config=names, key="first-rows", alt="The first rows of the file")


# -- what is known of it ----------------------------------------------------------------------------------------------


def facts(rows: int, step: str, start: str, end: str, zone: str) -> None:
    """One line: length, step, span."""
    clock = f", times in {zone}" if not start.isdigit() else ""
    widgets.note(widgets.plain(f"{rows:,} rows, step {step}, from {day(start)} to {day(end)}{clock}"))


def day(stamp: str) -> str:
    """An ISO stamp without seconds and without a midnight that says nothing."""
    return stamp.replace("T", " ")[:16].removesuffix(" 00:00")


def audit_table(audit: Audit) -> None:
    """Every finding: what, how often, where first, and what was done about it."""
    if not audit.findings:
        st.markdown(":material/check_circle: The audit found nothing to mend.")
        return
    import pandas as pd

    table = pd.DataFrame(
        {
            "count": [f"{finding.count:,}" for finding in audit.findings],
            "what was found, and what was done": [
                f"{widgets.plain(finding.sentence)} :gray[{widgets.plain(' '.join(finding.remedies))}]"
                for finding in audit.findings
            ],
            "first places": [widgets.plain("; ".join(place(p) for p in finding.places)) for finding in audit.findings],
        }
    )
    help = "What was found while reading, where first, and what was done. In grey: what else can be done."
    st.markdown(f"**Audit** · {len(table)} finding{'s' * (len(table) > 1)}", help=help)
    st.table(table, hide_index=True, border="horizontal")
    if audit.repairs:
        widgets.note("Changed on the way: " + widgets.plain(" ".join(audit.repairs)))


def place(where: Place) -> str:
    """``row 1,204, load: 'n/a'``; a whole column has no row."""
    text = ", ".join(part for part in (f"row {where.row:,}" if where.row else "", where.column) if part)
    return f"{text}: {where.text!r}" if where.text else text


def show(card: DatasetCard, controls: Any) -> None:
    """Everything about one dataset: its picture, its audit, its card; what can be done with it goes to ``controls``."""
    heading.markdown(f"**{widgets.plain(card.name)}** · {card.rows:,} rows, {len(card.variates)} variates")
    with controls:
        drawn = st.multiselect(
            "Variates drawn",
            range(len(card.variates)),
            default=list(range(min(SHOWN, len(card.variates)))),
            format_func=lambda i: card.variates[i],
            max_selections=8,
            key=f"drawn-{card.id}",
        )
        act(card)
    if card.tags:
        st.markdown(" ".join(f":gray-badge[{widgets.plain(tag)}]" for tag in card.tags))
    picture(card, drawn)
    facts(card.rows, card.step, card.start, card.end, card.zone)
    if card.description:
        st.text(card.description)
    audit_table(card.audit)
    profile.show(card)
    query.show(card)
    with st.expander("Card", icon=":material/badge:"):
        about = {
            "Source": card.source or "none",
            "Time column": card.time_column or "none, rows are counted",
            "Zone": card.zone,
            "Repairs": " ".join(card.repairs) or "none",
            "Version": f"{card.version}{': ' if card.changes else ''}{' '.join(card.changes)}",
            "Known truth": known_truth(card.truth) if card.truth else "none",
            "Added": f"{card.created_at:%Y-%m-%d %H:%M} UTC",
            "Fingerprint": card.fingerprint[:16],
        }
        st.table({key: widgets.plain(value) for key, value in about.items()}, border="horizontal")
        if card.truth:
            from core.ui import rule

            rule.show(card.truth, card.variates)


def known_truth(truth: dict[str, Any]) -> str:
    """Which variates decide the target, and at which lags."""
    from core.data.lags import write_lags
    from core.data.words import joined

    return f"{truth['target']} follows {joined(truth['features'])} at lags {write_lags(truth['lags'])}"


def picture(card: DatasetCard, drawn: list[int]) -> None:
    """The whole in a strip to brush, and the brushed part in detail, each read afresh from the store."""
    import pandas as pd

    if not drawn:
        widgets.note("Choose a variate to draw.")
        return
    store, c = resources.store(), theme.colors()
    names = [card.variates[i] for i in drawn]
    whole = store.overview(card.id, names[:1])
    clock = pd.api.types.is_datetime64_any_dtype(whole["t"])
    widgets.note("The whole series. Draw over a part to see it in detail; double click to go back.")
    chosen = st.altair_chart(
        overview.strip(overview.in_zone(whole, card.zone), clock, c),
        key=f"span-{card.id}-{drawn[0]}",
        on_select="rerun",
        alt=f"The whole of {widgets.plain(names[0])}, to choose a part",
    )
    part = overview.span(dict(chosen.get("selection", {}).get("span", {})), card.zone, clock)
    if part is None:
        part = st.session_state.get(f"rows-{card.id}") or (0, card.rows)
    table = overview.in_zone(store.overview(card.id, names, part[0], part[1]), card.zone)
    rows = st.container(gap=None)
    for position, name in zip(drawn, names, strict=True):
        last = position == drawn[-1]
        title = (f"time, {card.zone}" if clock else "row") if last else None
        mine = table.query("variate == @name")
        rows.altair_chart(
            overview.row(mine, name, theme.variate_color(position, c), clock, title, c),
            key=f"row-{card.id}-{position}",
            alt=f"{name}, {overview.shown(*part)}: from {mine['value'].min():.4g} to {mine['value'].max():.4g}",
        )


def act(card: DatasetCard) -> None:
    """Train on it, choose a part by row, rename, describe, export, delete."""
    if st.button("Train on it", type="primary", icon=":material/model_training:", width="stretch", key="to-train"):
        state.go("train", {"dataset": card.id})
    with st.popover("Part shown", icon=":material/width:", width="stretch", key=f"part-{card.id}"):
        st.slider(
            "Rows", 0, card.rows, (0, card.rows), key=f"rows-{card.id}", help="The same as drawing over the strip."
        )
    about = st.popover("Name, description, tags", icon=":material/edit:", width="stretch", key=f"about-{card.id}")
    with about, st.form("about", border=False):
        name = st.text_input("Name", value=card.name, max_chars=120, key=f"name-{card.id}")
        text = st.text_area("Description", value=card.description, max_chars=2000, key=f"text-{card.id}")
        tags = st.text_input(
            "Tags", value=", ".join(card.tags), max_chars=200, key=f"tags-{card.id}", help="Words, with commas."
        )
        if st.form_submit_button("Save", key="save-about"):
            try:
                resources.store().rename_dataset(card.id, name)
                resources.store().describe_dataset(card.id, text)
                resources.store().tag_dataset(card.id, tags.split(","))
            except UserError as error:
                widgets.problem(error)
            else:
                st.rerun()
    with st.popover("Export", icon=":material/download:", width="stretch", key=f"export-{card.id}"):
        file = file_name(card.name) or card.id
        st.download_button("CSV", lambda: export(card, "csv"), f"{file}.csv", "text/csv", on_click="ignore")
        st.download_button(
            "Parquet", lambda: export(card, "parquet"), f"{file}.parquet", "application/octet-stream", on_click="ignore"
        )
    if st.button("Delete", icon=":material/delete:", width="stretch", key="delete"):
        confirm_delete(card)


def file_name(text: str) -> str:
    """Letters and digits of an uploaded name, for a file on somebody's disk."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in text)


def export(card: DatasetCard, kind: str) -> bytes:
    """The stored values as a file, under the names they came with."""
    rows = resources.store().rows(card.id, 0, card.rows)
    if kind == "csv":
        return rows.to_csv(index=False).encode()
    out = io.BytesIO()
    rows.to_parquet(out, index=False)
    return out.getvalue()


@st.dialog("Delete this dataset")
def confirm_delete(card: DatasetCard) -> None:
    """Names what would go with it before anything is gone."""
    store = resources.store()
    runs = store.runs(dataset=card.id)
    st.text(f"{card.name}, {card.rows:,} rows.")
    if runs:
        st.markdown(f"**{len(runs)} run{'s' * (len(runs) > 1)}** trained on it will be deleted too:")
        for run in runs[:10]:
            st.text(f"{run.name or run.id}, {widgets.STATES[run.state][0].lower()}")
        if len(runs) > 10:
            widgets.note(f"and {len(runs) - 10} more")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="delete-now"):
            try:
                with st.spinner("Deleting"):
                    delete(card, [run.id for run in runs])
            except UserError as error:
                widgets.problem(error)
            else:
                st.rerun()
        if st.button("Keep it", key="delete-not"):
            st.rerun()


def delete(card: DatasetCard, runs: list[str]) -> None:
    """The dataset, its runs and their folders; a running job is stopped first, which takes it a moment."""
    jobs = resources.jobs()
    for run in runs:
        if jobs.status(run).active:
            jobs.cancel(run)
    for run in runs:
        until = time.monotonic() + LONGEST_STOP
        while jobs.status(run).active and time.monotonic() < until:
            time.sleep(0.1)
        jobs.delete(run)
    resources.store().delete_dataset(card.id)
    state.put(dataset=None)


def tagged(cards: dict[str, DatasetCard]) -> dict[str, DatasetCard]:
    """Those with all tags that are chosen, where there are any; a list to choose them where datasets have some."""
    tags = sorted({tag for card in cards.values() for tag in card.tags})
    wanted = set(st.multiselect("Tags", tags, key="tags-wanted", placeholder="All datasets")) if tags else set()
    return {id: card for id, card in cards.items() if wanted <= set(card.tags)} or cards


# -- the page ---------------------------------------------------------------------------------------------------------

heading = boot.page("Data", follows=("dataset",))
cards = {card.id: card for card in resources.store().datasets()}
main, side = st.columns([2.8, 1], gap="large")
with side:
    controls = st.container()
    upload(first=not cards)
    if cards:
        opened = st.session_state.get("data-door") == "sample"
        with st.expander("Samples", icon=":material/science:", expanded=opened, key="samples"):
            samples()
held = st.session_state.get(INCOMING)
making = MAKING in st.session_state
with main:
    if held and "proposal" in held:
        confirm(held, controls)
    elif held:
        widgets.problem(held["problem"])
    elif making:
        make(controls)
    if cards and not making and not (held and "proposal" in held):
        with controls:
            chosen = widgets.choose_dataset({id: card.name for id, card in tagged(cards).items()})
        show(cards[chosen], controls)
    elif not cards and not making and not held:
        st.markdown("There is no dataset yet. **Upload a file**, or take one of these, which need no network:")
        samples()
