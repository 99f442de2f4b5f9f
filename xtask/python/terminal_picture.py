"""Runs a program in a terminal and draws its screen as an SVG.

usage: terminal_picture.py OUT.svg COLUMNS LINES UNTIL PROGRAM [ARGUMENT..]

The program runs in the current folder, which gets links to `data` and `examples` of the repository. The picture is drawn
when a line of the screen matches the regular expression UNTIL, or when the program ends. Empty lines at its end and the
path of the current folder are left out. The colors are those of `watch.svg`.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

REPOSITORY = Path(__file__).resolve().parents[2]
CELL = (8.4, 18.0)
PAGE, TEXT = "#14171b", "#e6e9ed"
COLORS = {
    "cyan": "#45d0e6",
    "brown": "#e0b84a",
    "magenta": "#e879f9",
    "green": "#4fd17f",
    "blue": "#5cb0ff",
    "red": "#ff8080",
    "black": "#7b828c",
    "brightblack": "#7b828c",
}


def screen_of(program, columns, lines, until):
    """The screen of a program at the moment when a line of it matches."""
    folder = os.getcwd().encode() + b"/"
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.execvp(program[0], program)
    seen = False
    while not seen:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # The program has ended.
            break
        if not piece:
            break
        stream.feed(piece.replace(folder, b""))
        seen = any(re.search(until, line) for line in screen.display)
    # The program reads no more of this screen, and finishes alone.
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print("\n".join(line.rstrip() for line in screen.display).strip())
        sys.exit(f"{program[0]} ends with {status}")
    return screen


def svg_of(screen):
    """Each run of cells with one style is a text of its exact width, so that any font keeps the columns."""
    lines = [number for number, line in enumerate(screen.display) if line.strip()]
    height = (lines[-1] + 1 if lines else 1) * CELL[1] + 20
    width = screen.columns * CELL[0] + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        "font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">",
        f'<rect width="100%" height="100%" rx="8" fill="{PAGE}"/>',
    ]
    for y in lines:
        x = 0
        while x < screen.columns:
            cell, start, text = screen.buffer[y][x], x, ""
            while x < screen.columns and style(screen.buffer[y][x]) == style(cell):
                text += screen.buffer[y][x].data
                x += 1
            # Blanks at the ends need no text.
            start += len(text) - len(text.lstrip())
            text = text.strip()
            if text:
                color, bold = style(cell)
                weight = ' font-weight="bold"' if bold else ""
                left, base, wide = 10 + start * CELL[0], 10 + y * CELL[1] + 13.5, len(text) * CELL[0]
                out.append(
                    f'<text x="{left:.1f}" y="{base:.1f}" textLength="{wide:.1f}" fill="{color}"{weight} '
                    f'xml:space="preserve">{escape(text)}</text>'
                )
    return "\n".join([*out, "</svg>", ""])


def style(cell):
    return COLORS.get(cell.fg, TEXT), cell.bold


def main():
    out, columns, lines, until, *program = sys.argv[1:]
    for name in ("data", "examples"):
        if not os.path.lexists(name):
            os.symlink(REPOSITORY / name, name)
    picture = svg_of(screen_of(program, int(columns), int(lines), until))
    with open(out, "w", encoding="utf-8") as file:
        file.write(picture)


main()
