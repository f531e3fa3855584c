"""Mechanical changes of C as clang-format leaves it: what tests/fault/mutate chooses from.

Such code has spaces around binary operators and none inside unary ones, functions that open and close at the left edge, and one
statement a line, so that a few expressions find what a parser would.
"""
import re

WORD = r"[A-Za-z_]\w*"
KEYWORDS = {"if", "while", "for", "switch", "return", "sizeof", "do", "else", "case", "goto", "defined"}
SWAPS = {
    "relation": [("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"), ("==", "!="), ("!=", "==")],
    "arithmetic": [("+", "-"), ("-", "+"), ("*", "/"), ("/", "*"), ("%", "/"), ("<<", ">>"), (">>", "<<"),
                   ("&", "|"), ("|", "&"), ("+=", "-="), ("-=", "+="), ("|=", "&="), ("&=", "|=")],
    "logic": [("&&", "||"), ("||", "&&")],
}


class Mutation:
    """One change: `text` of the file with [start, end) replaced by `new`."""

    def __init__(self, path, function, kind, text, span, new, masked=None):
        start, end = span
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        self.path, self.function, self.kind = path, function, kind
        self.first_line, self.last_line = text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 1
        self.statement = statement_lines(masked or mask(text), start, end)
        self.before = " ".join(text[first:last].split())
        self.after = " ".join((text[first:start] + new + text[end:last]).split())
        # Lines stay where they are: an assert() would differ by its number alone.
        self.mutated = text[:start] + new + "\n" * (text.count("\n", start, end) - new.count("\n")) + text[end:]

    @property
    def key(self):
        """What the mutation is whatever the number of its line: for the list of those that survive."""
        return self.path, self.function, self.before, self.after


def statement_lines(masked, start, end):
    """Numbers of the lines of the statements that [start, end) is in: gcov counts one by the line where it begins."""
    first = max(masked.rfind(mark, 0, start) for mark in ";{}") + 1
    first += len(masked[first:start]) - len(masked[first:start].lstrip())
    last = min((at for at in (masked.find(mark, end) for mark in ";{}") if at >= 0), default=len(masked))
    return range(masked.count("\n", 0, first) + 1, masked.count("\n", 0, last) + 2)


def mask(text):
    """The same text without what is in comments, strings, characters and preprocessor lines."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|^[ \t]*#(?:\\\n|[^\n])*"
    return re.sub(pattern, blank, text, flags=re.S | re.M)


def closing(text, start):
    """Where the parenthesis at `start` is closed."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i
    return -1


def arguments(text, start, end):
    """[(start, end)] of what is between commas in the parentheses at start and end."""
    found, depth, begin = [], 0, start + 1
    for i in range(start + 1, end + 1):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}" and i != end:
            depth -= 1
        if i == end or (text[i] == "," and not depth):
            found.append((begin, i))
            begin = i + 1
    return found


def operators(code):
    for kind, pairs in SWAPS.items():
        for old, new in pairs:
            for match in re.finditer(rf"(?<=[ \t]){re.escape(old)}(?=[ \n])", code):
                yield kind, match.span(), new
    for match in re.finditer(r"\+\+|--", code):
        yield "arithmetic", match.span(), "--" if match[0] == "++" else "++"
    for match in re.finditer(r"!(?!=)", code):
        yield "logic", match.span(), ""


def conditions(code):
    for match in re.finditer(r"\b(?:if|while) \(", code):
        end = closing(code, match.end() - 1)
        yield "condition", (match.end(), end), "!({})"


# A sum that is allocated, and an array's size where it is declared.
ALLOCATION = re.compile(r"\bcalloc\($|\b(?:malloc|calloc|realloc|reallocarray)\([^;]*\+ $")
SIZE = re.compile(r"\s+(?!return )(?:\w+ )+\**\w+\[[^=;]*$")


def constants(code):
    for match in re.finditer(r"(?<![\w.])(\d+)(?=[uUlL]*(?![\w.]))", code):
        line = code[code.rfind("\n", 0, match.start()) + 1:match.start()]
        # More room than is needed is no mistake that a test could see.
        same = re.search(r"\bsizeof\([\w.>-]+\[$", line)  # an element is as large as another
        room = ALLOCATION.search(line) or (SIZE.match(line) and line.count("[") > line.count("]"))
        if not re.match(r"\s*case ", line) and not room and not same:
            yield "constant", match.span(), str(int(match[1]) + 1)
    for match in re.finditer(r"\b(true|false)\b", code):
        yield "constant", match.span(), "false" if match[0] == "true" else "true"


def calls(code):
    """Two neighbouring arguments change places."""
    for match in re.finditer(rf"\b({WORD})\(", code):
        if match[1] in KEYWORDS or match[1] == "calloc":
            continue
        end = closing(code, match.end() - 1)
        given = arguments(code, match.end() - 1, end)
        # Equality has no order.
        equal = match[1] in ("memcmp", "strcmp") and (code[:match.start()].endswith("!") or re.match(r"\) [!=]= 0", code[end:]))
        for (a, b), (c, d) in zip(given, given[1:] if not equal else []):
            first, second = code[a:b], code[c:d]
            # A masked string would be lost.
            if first.strip() and second.strip() and first.split() != second.split() and '"' not in first + second:
                yield "arguments", (a, d), ("swap", (a, b), (c, d))


def statements(code):
    """Calls, assignments and guarded returns that are left out; an error that is returned as none."""
    for match in re.finditer(rf"^(\t+)((?:\*?[\w.>\[\]-]+)(?: [-+|&]?= |\()[^;{{}}]*);", code, re.M):
        head = re.match(WORD, match[2])
        before = code[:match.start()].rstrip()
        if (head and head[0] in KEYWORDS) or not before or before[-1] not in ";{})":
            continue
        kind = "call removed" if re.match(rf"[\w.>-]+\(", match[2]) else "assignment removed"
        if kind == "call removed" and closing(code, code.index("(", match.start(2))) != match.end(2) - 1:
            continue
        yield kind, (match.start(2), match.end()), "{}"
    for match in re.finditer(r"^\t+(return\b[^;]*);", code, re.M):
        if code[:match.start()].rstrip().endswith(")"):
            yield "return removed", (match.start(1), match.end()), "{}"
        if re.match(r"return (-E[A-Z]+|ret|rc)$", match[1]):
            yield "error not returned", match.span(1), "return 0"


ATTRIBUTE = re.compile(r"__attribute__\(\((?:[^()]|\([^()]*\))*\)\)")


def functions(code):
    """(name, start, end) of the bodies of functions."""
    for match in re.finditer(r"^([A-Za-z_][^;{}=]*)\n\{\n(.*?)^\}", code, re.M | re.S):
        name = re.search(rf"({WORD})\(", ATTRIBUTE.sub("", match[1]))
        if name:
            yield name[1], match.start(2), match.end(2)


def swapped(text, span, how):
    """`text` of the whole call's part with two arguments in each other's place."""
    (a, b), (c, d) = how[1], how[2]
    first, second = text[a:b], text[c:d]
    lead = first[:len(first) - len(first.lstrip())]
    space = second[:len(second) - len(second.lstrip())]
    return lead + second.lstrip() + text[b:c] + space + first.lstrip()


def find(path, text):
    """All mutations of one file, in the order of its text."""
    masked, found = mask(text), []
    for name, start, end in functions(masked):
        code = masked[start:end]
        for finder in (operators, conditions, constants, calls, statements):
            for kind, (a, b), new in finder(code):
                span = (start + a, start + b)
                if isinstance(new, tuple):
                    moved = (new[0],) + tuple((start + x, start + y) for x, y in new[1:])
                    new = swapped(text, span, moved)
                elif "{}" in new and kind == "condition":
                    new = new.format(text[span[0]:span[1]])
                found.append((span, kind, name, new))
    found.sort(key=lambda m: (m[0], m[1], m[3]))
    return [Mutation(path, name, kind, text, span, new, masked) for span, kind, name, new in found]
