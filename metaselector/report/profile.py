"""The profile of raw data, as tables on the terminal and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaselector.data.profile.figures import FeatureProfile, LogProfile, Side, Spread
from metaselector.data.profile.users_by_rows import UsersByRows
from metaselector.report.as_json import as_text
from metaselector.report.terminal import cell


def profile_json(profile: LogProfile) -> str:
    """The attributes of `profile` as JSON; shares are from 0 to 1, unknown values null."""
    return as_text(asdict(profile))


def print_profile(profile: LogProfile, console: Console) -> None:
    """Print `profile`; values of the data are truncated on a narrow terminal."""
    console.print(_overview(profile))
    console.print(_labels(profile))
    console.print(_rates(profile))
    console.print(_counts(profile))
    console.print(_by_rows(profile.users_by_rows, "groups" if profile.tabular else "users"))
    if profile.features:
        console.print(_features(profile))
    for repair in profile.repairs:
        console.print(cell(f"repaired: {repair}"), soft_wrap=True)
    if profile.origin is not None:
        console.print(cell(f"note: {profile.origin.limit}"), soft_wrap=True)
    for note in () if profile.tabular else profile.order.about_order():
        console.print(cell(f"note: {note}"), soft_wrap=True)
    for hint in profile.hints:
        console.print(cell(f"note: {hint}"), soft_wrap=True)
    for warning in profile.warnings:
        console.print(Text.assemble(("warning: ", "bold yellow"), cell(warning)), soft_wrap=True)
    if not profile.warnings:
        console.print("No warnings.")


def _overview(profile: LogProfile) -> Table:
    title = profile.dataset if profile.origin is None else profile.origin.title
    table = Table(title=cell(title), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    users = f"{profile.users:,}{_unknown(profile.users_unknown)}"
    lines = {"file": profile.source, "rows": f"{profile.rows:,}"}
    if profile.left_out is not None:
        out = profile.left_out
        lines["left out"] = f"{out.users:,} users with fewer than {out.wanted}"
    if profile.sampled:
        lines["sampled"] = f"preparation adds {profile.sampled} negatives to every row"
    if profile.tabular:
        lines["groups"] = f"{users} (used as users; the data has no items and no times)"
    else:
        lines |= {
            "users": users,
            "items": f"{profile.items:,}{_unknown(profile.items_unknown)}",
            "density": f"{100 * profile.density:.4g} % ({profile.pairs:,} distinct pairs)",
            "times (UTC)": f"{_time(profile.first_time)} to {_time(profile.last_time)}",
            "repeated rows": f"{profile.repeated_rows:,} (user, item and time of an earlier row)",
        }
    if profile.same_time_share is not None and profile.same_second_share is not None:
        lines["tied rows"] = (
            f"{_percent(profile.same_time_share)} of the rows share their time with another row of "
            f"their user{_same_second(profile)}{', as rows of a list do' if profile.lists else ''}"
        )
    if profile.split_dates is not None:
        ends = zip(("early", "train", "valid"), map(_time, profile.split_dates), strict=True)
        lines["windows end at"] = ", ".join(f"{date} ({name})" for name, date in ends)
    if profile.future_share is not None and profile.future_tests is not None:
        lines["future share"] = (
            f"{_percent(profile.future_share)} of the training rows are later than a test row, on "
            f"average; {_percent(profile.future_tests)} of the test rows have later training rows"
        )
    for name, text in lines.items():
        table.add_row(name, cell(text))
    return table


def _labels(profile: LogProfile) -> Table:
    table = Table("label")
    for title in ("observed", "positive", "positive is", "values", "users with one class"):
        table.add_column(title, justify="right")
    for task in profile.tasks:
        known = task.lowest is not None and task.highest is not None
        table.add_row(
            cell(task.name),
            _percent(task.share_observed),
            _percent_or_dash(task.rate),
            f">= {task.threshold:g}",
            f"{task.lowest:g} to {task.highest:g}" if known else "-",
            f"{task.users_of_one_class:,}",
        )
    return table


def _rates(profile: LogProfile) -> Table:
    caption = (
        "spread: standard deviation of users' shares of positives; drift: that of their change "
        "from before the test window to the test window; both corrected for chance"
    )
    table = Table("positive in", caption=caption, caption_justify="left")
    for title in ("train", "valid", "test", "spread", "drift"):
        table.add_column(title, justify="right")
    for task in profile.tasks:
        rates = task.window_rates
        table.add_row(
            cell(task.name),
            *map(_percent_or_dash, (rates.train, rates.valid, rates.test)),
            *("-" if value is None else f"{value:.3f}" for value in (task.spread, task.drift)),
        )
    return table


def _by_rows(found: UsersByRows, users: str) -> Table:
    if found.counted == "before_test":
        title = "rows before test"
        caption = f"of the {found.users:,} {users} with rows in the test window"
    else:
        title = "rows in all"
        caption = f"of all {found.users:,} {users}; those held out adapt on the first of their rows"
    table = Table(title, caption=caption, caption_justify="left")
    for each in found.at_least:
        table.add_column(f">= {each.rows}", justify="right")
    table.add_row(users, *(f"{each.users:,}" for each in found.at_least))
    table.add_row("share", *(_percent_or_dash(each.share) for each in found.at_least))
    return table


def _counts(profile: LogProfile) -> Table:
    table = Table("rows per")
    for title in ("min", "25 %", "median", "75 %", "max", "mean"):
        table.add_column(title, justify="right")
    if profile.tabular:
        table.add_row("group", *_spread(profile.rows_per_user))
        return table
    for name, spread in {"user": profile.rows_per_user, "item": profile.rows_per_item}.items():
        table.add_row(name, *_spread(spread))
    return table


def _features(profile: LogProfile) -> Table:
    caption = "features of train; new: later values that are unseen words or numbers out of range"
    table = Table("feature", "kind", caption=caption, caption_justify="left")
    for title in ("missing", "distinct", "new"):
        table.add_column(title, justify="right")
    table.add_column("most frequent words, or numbers", overflow="ellipsis", ratio=1)
    side: Side | None = None
    for feature in profile.features:
        if feature.side != side:
            table.add_section()
            table.add_row(Text(f"of {feature.side}s", style="italic"))
        side = feature.side
        distinct = "many" if feature.distinct is None else f"{feature.distinct:,}"
        table.add_row(
            cell(feature.name),
            cell(feature.kind),
            _percent(feature.share_missing),
            distinct,
            _percent(feature.new / feature.later) if feature.later else "-",
            cell(_values(feature), no_wrap=True),
        )
    return table


def _values(feature: FeatureProfile) -> str:
    if feature.numbers is not None:
        numbers = feature.numbers
        return (
            f"{numbers.mean:.4g} ± {numbers.std:.4g}, {numbers.minimum:.4g} to "
            f"{numbers.maximum:.4g}"
        )
    return ", ".join(f"{word} ({count:,})" for word, count in feature.frequent)


def _spread(spread: Spread) -> list[str]:
    quartiles = (spread.minimum, spread.lower, spread.median, spread.upper, spread.maximum)
    return [*(f"{value:,.10g}" for value in quartiles), f"{spread.mean:,.2f}"]


def _same_second(profile: LogProfile) -> str:
    """What to add if times are finer than seconds and that matters."""
    second = profile.same_second_share
    if second is None or second == profile.same_time_share:
        return ""
    return f", {_percent(second)} their second"


def _unknown(count: int | None) -> str:
    return f" ({count:,} of them not described)" if count else ""


def _time(iso: str) -> str:
    return iso.replace("T", " ").removesuffix("Z")


def _percent_or_dash(share: float | None) -> str:
    return "-" if share is None else _percent(share)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
