"""A terminal that never scrolls, with the control sequences that are used here."""

import io
import re

_PIECES = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """Shows what a user sees after everything that was written to it."""

    def isatty(self):
        return True

    @property
    def lines(self):
        """The lines on the screen, without empty ones at the end."""
        lines, row, column = [""], 0, 0
        for parameters, command, control, text in _PIECES.findall(self.getvalue()):
            if control == "\r":
                column = 0
            elif control == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif command == "A":
                row -= int(parameters)
                assert row >= 0
            elif command == "K":
                assert parameters == "2"
                lines[row] = ""
            elif command:
                assert command in "mhl", command  # colours, and whether the cursor is visible
            else:
                lines[row] = (
                    lines[row][:column].ljust(column) + text + lines[row][column:][len(text) :]
                )
                column += len(text)
        while lines and not lines[-1].strip():
            lines.pop()
        return [line.rstrip() for line in lines]
