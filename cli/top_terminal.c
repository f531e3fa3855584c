#include "top_terminal.h"
#include "top_keys.h"

#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

static SCREEN *screen;
static attr_t attributes[TOP_LOOKS];
static short pairs[TOP_LOOKS];
/* What is on the terminal: only what differs is given to ncurses. */
static struct top_page shown;

static void look_is(int look, attr_t attribute, short colour)
{
	attributes[look] = attribute;
	pairs[look] = 0;
	if (colour >= 0 && init_pair((short)(look + 1), colour, -1) == OK)
		pairs[look] = (short)(look + 1);
}

/* Without colours shades are told apart by what every terminal has, and numbers say the rest. */
static void choose_looks(bool colours)
{
	short shades[TOP_SHADES] = {COLOR_BLUE, COLOR_CYAN, COLOR_GREEN, COLOR_YELLOW, COLOR_RED};

	colours = colours && has_colors() && start_color() == OK && use_default_colors() == OK;
	/* The dark blue of most terminals cannot be read on black. */
	if (colours && COLORS >= 16)
		shades[0] = COLOR_BLUE + 8;
	look_is(TOP_PLAIN, A_NORMAL, -1);
	look_is(TOP_HEAD, A_BOLD, -1);
	look_is(TOP_DIM, A_DIM, -1);
	look_is(TOP_BAD, A_BOLD, colours ? COLOR_RED : -1);
	look_is(TOP_NEAR, A_NORMAL, colours ? COLOR_GREEN : -1);
	look_is(TOP_FAR, A_NORMAL, colours ? COLOR_YELLOW : -1);
	for (int i = 0; i < TOP_SHADES; i++)
		look_is(TOP_SHADE + i, i == TOP_SHADES - 1 ? A_BOLD : A_NORMAL,
			colours ? shades[i] : -1);
}

int top_terminal_open(bool colours, struct gmig_error *err)
{
	const char *name = getenv("TERM"), *moves;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return gmig_fail(err, -ENOTTY, "this is no terminal: use --once or --json");
	if (!name || !*name)
		name = "dumb";
	screen = newterm(name, stdout, stdin);
	moves = screen ? tigetstr("cup") : NULL;
	if (!moves || moves == (const char *)-1) {
		top_terminal_close();
		return gmig_fail(err, -EOPNOTSUPP,
				 "the terminal '%.40s' is not known, or has no cursor to be moved: "
				 "use --once or --json, or set TERM",
				 name);
	}
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	choose_looks(colours);
	return 0;
}

void top_terminal_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
	top_page_free(&shown);
}

void top_terminal_size(int *width, int *height)
{
	getmaxyx(stdscr, *height, *width);
}

static void put_cell(int y, int x, const struct top_cell *cell)
{
	int look = cell->look & ~(TOP_CHOSEN | TOP_MUCH);
	wchar_t text[2] = {cell->character, 0};
	cchar_t character;

	if (setcchar(&character, text,
		     attributes[look] | (cell->look & TOP_CHOSEN ? A_REVERSE : A_NORMAL) |
			 (cell->look & TOP_MUCH ? A_BOLD : A_NORMAL),
		     pairs[look], NULL) == OK)
		mvadd_wch(y, x, &character);
}

void top_terminal_show(const struct top_page *page)
{
	size_t count = (size_t)page->width * (size_t)page->height;
	bool all = shown.width != page->width || shown.height != page->height;

	if (all) {
		top_page_free(&shown);
		if (top_page_init(&shown, page->width, page->height))
			return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct top_cell *cell = &page->cells[i];

		if (all || cell->character != shown.cells[i].character ||
		    cell->look != shown.cells[i].look)
			put_cell((int)i / page->width, (int)i % page->width, cell);
		shown.cells[i] = *cell;
	}
	refresh();
}

int top_terminal_key(void)
{
	int key = getch();

	switch (key) {
	case ERR:
		return -1;
	case KEY_UP:
		return TOP_UP;
	case KEY_DOWN:
		return TOP_DOWN;
	case KEY_LEFT:
		return TOP_LEFT;
	case KEY_RIGHT:
		return TOP_RIGHT;
	case KEY_PPAGE:
		return TOP_PAGE_UP;
	case KEY_NPAGE:
		return TOP_PAGE_DOWN;
	case KEY_ENTER:
	case '\r':
	case '\n':
		return TOP_ENTER;
	case KEY_BACKSPACE:
	case 127:
	case '\b':
		return TOP_BACK;
	case KEY_RESIZE: /* ncurses has changed its window, and what is on it */
		top_page_free(&shown);
		return 0;
	case 'L' & 0x1f:
		clearok(stdscr, TRUE);
		return 0;
	default:
		return key < KEY_MIN ? key : 0;
	}
}
