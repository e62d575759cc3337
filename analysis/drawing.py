"""How is a tidy table drawn? One template, and three skeletons for all figures.

`lines` draws over a number, `points` by category (bars as well), `matrices` in cells. A study's function makes a table with
a row per point, and says which columns are drawn, what the axes are called, and how each name looks: a dict of plotly's
properties of a trace. A table may have the columns `text` (shown on hovering), `size`, `symbol` and `color` of each
point, and its interval: `low` and `high` of `points`, COLUMN_half of `lines`.
"""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

from .palette import BLACK, SERIES, SYMBOLS, method_look

COLOUR_SCALE = "Viridis"  # of all matrices: light is good, dark is bad, nothing is white
WIDTH = 940  # pixels of a stored picture; where a figure is drawn, it is as wide as its cell
LEFT, RIGHT, TOP, BOTTOM = 80, 25, 54, 60  # pixels around the panels; the title is above them, the legend below
SHORT = 20  # letters of a category that leaves room for two panels in a narrow cell
LETTER, ROW = 7, 21  # pixels: of a letter, on average, and of a row of the title
MANY = (
    4  # columns with numbers; where the cell is narrow, more have room only without a panel or a colour bar beside them
)
BAR_BELOW = 55  # pixels of a colour bar below the panels, with its title
NARROW = {1: 44, 2: 24, 3: 18}  # letters of an axis' title below one of so many panels, where the cell is narrow
TEMPLATE = go.layout.Template(pio.templates["plotly_white"])
TEMPLATE.layout.update(
    font=dict(family="Arial, sans-serif", size=13, color="#222222"), colorway=SERIES, barmode="group", showlegend=True, autosize=True,
    title=dict(font_size=16, x=0.02, yanchor="top", yref="container"),
    legend=dict(orientation="h", x=0.5, xanchor="center", y=0, yanchor="bottom", yref="container"),
    coloraxis=dict(colorscale=COLOUR_SCALE, colorbar=dict(title_side="top", title_font_size=13)),
    xaxis_title_font_size=13, yaxis_title_font_size=13,
)  # fmt: skip
TEMPLATE.data.heatmap = [go.Heatmap(xgap=1, ygap=1, textfont_size=13)]


def line(colour: str, width: float = 2, dash: str = "solid") -> dict:
    return dict(mode="lines", line=dict(color=colour, width=width, dash=dash))


def marks(colour: str | None = None, size: float = 9, symbol: str = "circle", **marker: object) -> dict:
    return dict(mode="markers", marker=dict(color=colour, size=size, symbol=symbol, **marker))


def marked_line(colour: str, width: float = 2, dash: str = "solid", **marker: object) -> dict:
    return line(colour, width, dash) | marks(colour, **marker) | dict(mode="lines+markers")


def method_line(method: str, width: float = 2.5, **marker: object) -> dict:
    """In the method's colour, with its mark."""
    colour, symbol = method_look(method)
    return marked_line(colour, width, "dot" if method == "zero-shot" else "solid", symbol=symbol, **marker)


def series_line(number: int, width: float = 2, **marker: object) -> dict:
    """What is neither task, method nor verdict, the first of its figure, the second, …"""
    return marked_line(SERIES[number % len(SERIES)], width, symbol=SYMBOLS[number % len(SYMBOLS)], **marker)


FEW: dict[str, Any] = dict(size=6, maxdisplayed=7)  # marks on a line of many points
GUIDE = dict(color=BLACK, width=1, dash="dot")
MEAN, SINGLE_TASK, ZERO_SHOT = line(BLACK, 4), line(BLACK, 1.5, "dash"), line(BLACK, 1.5, "dot")
CHOSEN = marks(BLACK, 14, "star", line=dict(color="white", width=1))


def lines(
    table: pd.DataFrame, x: str, y: str, looks: dict, *, title: str, x_axis: dict, y_axis: dict, by: str = "name",
    panel: str = "", own_x: bool = False, own_y: dict | None = None, across: int = 0, height: int = 300,
) -> go.Figure:  # fmt: skip
    """A panel per value of `panel`, in it a trace per value of `by`: the column y over the number x, as `looks` says.

    own_y: by panel, the title of its y axis, where each has its own. across: panels side by side; height: pixels of each.
    """
    panels = list(own_y or (table[panel].unique() if panel else [""]))
    across = across or {2: 2, 4: 2}.get(len(panels), 3)
    figure, places = grid(panels, across, height, [] if own_y else panels, own_x, bool(own_y))
    draw(figure, places, table, x, y, looks, by, panel)
    return finished(figure, places, title, x_axis, y_axis, own_y)


def points(
    table: pd.DataFrame, category: str, value: str, looks: dict, *, title: str, category_axis: dict, value_axis: dict,
    by: str = "name", panel: str = "", row_height: int = 26,
) -> go.Figure:  # fmt: skip
    """Categories from top to bottom, the value to the right. Panels are side by side if their categories are the same and short."""
    parts = table.groupby(panel, sort=False) if panel else [("", table)]
    rows = {name: list(part[category].unique()) for name, part in parts}
    short = max(len(name) for names in rows.values() for name in names) <= SHORT
    alike = short and len(set(map(tuple, rows.values()))) == 1
    height = 20 + row_height * max(map(len, rows.values()))
    figure, places = grid(list(rows), len(rows) if alike else 1, height, list(rows), own_y=not alike)
    draw(figure, places, table, value, category, looks, by, panel)
    for name, place in places.items():
        ends = dict(range=[len(rows[name]) - 0.4, -0.6], categoryorder="array", categoryarray=rows[name])
        figure.update_yaxes(type="category", ticksuffix=" ", **ends, **place)
    return finished(figure, places, title, value_axis, category_axis, letters=0 if short else 22)


def matrices(
    table: pd.DataFrame, row: str, column: str, value: str, *, panel: str, title: str, x_axis: dict, y_axis: dict,
    colour_axis: dict, hover: str, little_is_good: bool = False, digits: str = "", log: bool = False, height: int = 300,
) -> go.Figure:  # fmt: skip
    """A matrix per value of `panel`, all on one colour scale, on which light is good; means of what shares a cell.

    digits: format of the number that stands in a cell; none: numbers on hovering alone. log: colours by the logarithm.
    """
    panels, rows, columns = (list(table[name].unique()) for name in (panel, row, column))
    many = bool(digits) and len(columns) > MANY
    figure, places = grid(panels, 1 if many else 3, height, panels)
    for name, place in places.items():
        values = table[table[panel] == name].pivot_table(index=row, columns=column, values=value)
        values = values.reindex(index=rows, columns=columns).to_numpy()
        figure.add_heatmap(
            z=plain(np.log10(values.clip(min=1e-6)) if log else values), x=plain(columns), y=plain(rows),
            text=[["" if np.isnan(cell) else f"{cell:{digits}}" for cell in cells] for cells in values],
            texttemplate="%{text}" if digits else None, hovertemplate=f"{hover}<extra></extra>", hoverongaps=False,
            coloraxis="coloraxis", **place,
        )  # fmt: skip
    if log:
        ticks = [digit * 10.0**k for k in range(-6, 6) for digit in (1, 2, 5)]
        figure.update_coloraxes(
            colorbar=dict(tickvals=plain(np.log10(ticks)), ticktext=[f"{tick:g}" for tick in ticks])
        )
    figure.update_coloraxes(colorscale=COLOUR_SCALE, reversescale=little_is_good, **colour_axis)
    figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    if many:  # the bar beside the panels would take a third of a narrow cell
        beneath = dict(orientation="h", yref="container", y=0, yanchor="bottom", thickness=15, xpad=0, ypad=0)
        in_a_row = (figure.layout.coloraxis.colorbar.title.text or "").replace("<br>", " ")
        figure.update_coloraxes(colorbar=beneath, colorbar_title=dict(text=in_a_row, side="bottom"))
    return finished(figure, places, title, x_axis, y_axis, below=BAR_BELOW * many)


def grid(
    panels: Sequence, across: int, height: int, titles: Sequence, own_x: bool = False, own_y: bool = False
) -> tuple[go.Figure, dict]:
    """Panels row by row, `height` pixels each, below their titles if any, and the place of each: its row and col."""
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    gap = 30 + 30 * bool(titles) + 40 * own_x
    whole = down * height + (down - 1) * gap
    figure = make_subplots(
        down, across, subplot_titles=[str(title) for title in titles] or None,
        specs=[[{} if across * row + k < len(panels) else None for k in range(across)] for row in range(down)],
        shared_xaxes=False if own_x else "all", shared_yaxes=False if own_y else "all",
        horizontal_spacing=(90 if own_y else 20) / (WIDTH - LEFT - RIGHT), vertical_spacing=gap / whole,
    )  # fmt: skip
    figure.update_annotations(font_size=13, yshift=3).update_layout(template=TEMPLATE, height=whole)
    return figure, {name: dict(row=k // across + 1, col=k % across + 1) for k, name in enumerate(panels)}


def draw(
    figure: go.Figure, places: dict, table: pd.DataFrame, x: str, y: str, looks: dict, by: str, panel: str
) -> None:
    """A trace per panel and name, in the order of `looks`. The legend has a name, or what shares its legendgroup, once."""
    known = {trace.legendgroup for trace in figure.data if trace.showlegend}
    for part, place in places.items():
        ours = table[table[panel] == part] if panel else table
        for name, look in looks.items():
            rows = ours[ours[by] == name]
            if rows.empty:
                continue
            given = {column for column in rows if rows[column].notna().any()}
            trace = (
                dict(type="scatter", name=str(name), legendgroup=str(name), x=plain(rows[x]), y=plain(rows[y])) | look
            )
            own = {key: plain(rows[key]) for key in ("size", "symbol", "color") if key in given}
            trace["marker"] = trace.get("marker", {}) | own
            if "text" in given:
                trace |= dict(text=list(rows.text), hovertemplate="%{text}<br>%{x}, %{y}")
            for axis, column in (("x", x), ("y", y)):
                if f"{column}_half" in given:
                    trace[f"error_{axis}"] = dict(array=plain(rows[f"{column}_half"]), width=0, thickness=1)
            if "low" in given:
                trace["error_x"] = dict(array=plain(rows.high - rows[x]), arrayminus=plain(rows[x] - rows.low))
            trace.setdefault("showlegend", trace["legendgroup"] not in known)
            known |= {trace["legendgroup"]} if trace["showlegend"] else set()
            figure.add_trace(trace, **place)


def plain(values: object) -> list:
    """Rounded to four digits, as Python's numbers."""
    array = np.asarray(values)
    return (array.round(4) if array.dtype.kind == "f" else array).tolist()


def finished(
    figure: go.Figure, places: dict, title: str, x_axis: dict, y_axis: dict, own_y: dict | None = None, letters: int = 0,
    below: int = 0,
) -> go.Figure:  # fmt: skip
    """Titles of the axes (x: below the lowest panel of each column, y: left, or own), the title, and room for the legend.

    letters: of a row of the title of x; below: pixels for what is under the panels beside it and the legend.
    """
    figure.update_xaxes(x_axis | dict(title=None)).update_yaxes(y_axis | dict(title=None))
    for name, place in places.items():
        if place["col"] == 1 or own_y:
            figure.update_yaxes(title=own_y[name] if own_y else y_axis["title"], **place)
    lowest = {place["col"]: place for place in places.values()}
    said = wrap(x_axis["title"], letters or NARROW[min(len(lowest), 3)])
    for place in lowest.values():
        figure.update_xaxes(title="<br>".join(said), showticklabels=True, **place)
    names = [45 + LETTER * len(trace.name) for trace in figure.data if trace.showlegend]
    in_a_row = len(names) if sum(names) < WIDTH else WIDTH // max(names)
    bottom = BOTTOM + below + 16 * (len(said) - 1) + (10 + 20 * -(-len(names) // in_a_row) if names else 0)
    return headed(figure, title, figure.layout.height, dict(l=LEFT, r=RIGHT, b=bottom))


def headed(figure: go.Figure, title: str, panels: float, margin: dict) -> go.Figure:
    """With its title, and under it, smaller, what follows a line break; panels: pixels of all that is below."""
    said, _, note = title.partition("\n")
    rows = wrap(said, 46) + [f'<span style="font-size:12px">{row}</span>' for row in wrap(note, 62)]
    top = TOP + ROW * len(rows)
    height = top + panels + margin["b"]
    # Of several rows, plotly puts the first one's foot at y, and not its top.
    heading = dict(text="<br>".join(rows), y=round(1 - (28 if len(rows) > 1 else 17) / height, 4))
    return figure.update_layout(title=heading, height=height, margin=margin | dict(t=top))
