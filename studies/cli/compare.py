"""``retrial compare``: print studies side by side, and draw them in one figure."""

import json
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from nets.errors import InputError
from nets.files import write_new
from studies.cli.arguments import add_flag, stored_name
from studies.display.tables import console, print_lines


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "studies",
        nargs="+",
        metavar="STUDY",
        help="two or more: names in the store, or study files",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="draw the best value after each trial in a new file, FILE.png or FILE.svg "
        "(default: no figure)",
    )
    add_flag(parser, "--json", "print everything as JSON")


def run(options: Namespace) -> int:
    """Print the studies side by side; exit 2 unless they have one metric and direction."""
    from studies.analysis.stored_study import open_study
    from studies.display.comparison import check_comparable, compared, differences, lines

    names = list(dict.fromkeys(stored_name(options, text) for text in options.studies))
    if len(names) < 2:
        raise InputError("compare", problem=f"got {names[0]} alone", expected="two studies or more")
    with ExitStack() as stack:
        studies = [stack.enter_context(open_study(options.store, name)) for name in names]
        check_comparable(studies)
        found = [compared(stored) for stored in studies]
        if options.figure is not None:
            from studies.figures.comparison import best_values
            from tracking.figures.style import to_png, to_svg

            if (figure := best_values(studies)) is None:
                raise InputError("compare", problem="no trial is complete yet: nothing to draw")
            encoded = to_svg if options.figure.suffix.lower() == ".svg" else to_png
            write_new(options.figure, encoded(figure), "compare")
        if options.json:
            section = studies[0].study.section
            print(json.dumps({
                "metric": section.metric,
                "direction": str(section.direction),
                "studies": [one.to_json() for one in found],
                "differences": {
                    key: dict(zip(names, values, strict=True))
                    for key, values in differences(studies).items()
                },
            }, indent=2))  # fmt: skip
        else:
            screen = console()
            print_lines(screen, lines(studies, found, screen.width), headed=True)
    return 0
