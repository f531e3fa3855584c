#include "memory_map.h"
#include "cli.h"
#include "picture.h"
#include "process.h"
#include "units.h"

#include "../migrate/gmig_nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK	      (2ull << 20)
#define CELLS_MOST    4096 /* of a picture: with more, a cell is several blocks */
#define COLUMNS	      64   /* cells in a row */
#define GAP	      8	   /* between what lies where and its heat */
#define CELL_PX	      8
#define LEFT_PX	      190
#define ROW_BOTTOM    0.92 /* of a row's height: a thin line stays between rows */
#define KEY_CHAR_PX   9	   /* of the legend's text, amply */
#define KEY_SAMPLE_PX 60
#define MARK	      0.2 /* the height of a mark in a cell */

/* After one series for each node. */
enum kind { SWAPPED, UNTOUCHED, SMALL, FIXED, MOVING, HOT, WARM, COLD, UNKNOWN, KINDS };

static const struct {
	const char *name, *key;
	unsigned int colour;
} kinds[KINDS] = {
    [SWAPPED] = {"swapped out", "swapped", 0x7b4a2d},
    [UNTOUCHED] = {"untouched", "untouched", 0xb8bfc6},
    [SMALL] = {"4K pages (mark below)", "small", 0x24292f},
    [FIXED] = {"must not move (mark above)", "fixed", 0xe5141f},
    [MOVING] = {"in a move or a sample (mark in the middle)", "moving", 0xa6e22e},
    [HOT] = {"hot", "hot", 0xb2182b},
    [WARM] = {"warm", "warm", 0xf4a582},
    [COLD] = {"cold", "cold", 0x4393c3},
    [UNKNOWN] = {"heat unknown", "unknown", 0xb8bfc6},
};

/* Memory without a hole, of one vnode: it begins on a row of its own. */
struct range {
	uint64_t vnode, gpa, end, row;
};

struct memory_map {
	json_t *maps, *heat, *residency;
	uint64_t step, rows; /* bytes of a cell */
	struct range *ranges;
	size_t range_count;
	unsigned int *nodes; /* ascending */
	size_t node_count;
	uint64_t *bytes; /* one a series */
	struct picture picture;
};

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Does each lie in one cell? */
static bool are_cells(const json_t *parts, uint64_t step)
{
	json_t *part;
	size_t i;

	json_array_foreach (parts, i, part)
		if (cli_number(part, "bytes") > step - cli_number(part, "gpa") % step)
			return false;
	return true;
}

/* From 0 on, answer by answer, in parts that end at multiples of `step`. */
static int gather(struct control_client *client, const char *command, const char *key,
		  uint64_t step, json_t *parts, struct gmig_error *err)
{
	uint64_t gpa, next = 0;

	do {
		CLI_JSON answer = NULL;
		int rc;

		gpa = next;
		rc = control_call(
		    client, command,
		    json_pack("{s:I, s:I}", "gpa", (json_int_t)gpa, "step", (json_int_t)step),
		    &answer, err);
		if (rc)
			return rc;
		if (!are_cells(json_object_get(answer, key), step))
			return gmig_fail(err, -EPROTO, "%s: parts are larger than asked for",
					 command);
		json_array_extend(parts, json_object_get(answer, key));
		next = cli_number(answer, "next");
	} while (next > gpa);
	return 0;
}

/* As many blocks as let all of the guest's memory be CELLS_MOST cells at most. */
static uint64_t step_of(const json_t *residency)
{
	uint64_t bytes = 0, step = BLOCK;
	json_t *vnode;
	size_t i;

	json_array_foreach (json_object_get(residency, "vnodes"), i, vnode)
		bytes += cli_number(vnode, "bytes");
	while (bytes / step >= CELLS_MOST && step < 1ull << 62)
		step *= 2;
	return step;
}

static int ask(struct memory_map *map, const char *vm, struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = cli_connect(vm, &client, err);

	if (!rc)
		rc = control_call(client, "query-residency", NULL, &map->residency, err);
	if (rc)
		return rc;
	map->step = step_of(map->residency);
	rc = gather(client, "query-maps", "maps", map->step, map->maps, err);
	return rc ? rc : gather(client, "query-heat", "heat", map->step, map->heat, err);
}

/* ---- Rows and series ------------------------------------------------------------------------- */

static uint64_t first_cell(const struct memory_map *map, const struct range *range)
{
	return range->gpa / map->step * map->step;
}

static int find_ranges(struct memory_map *map)
{
	struct range *last = NULL;
	json_t *run;
	size_t i;

	map->ranges = calloc(json_array_size(map->maps) + 1, sizeof(*map->ranges));
	if (!map->ranges)
		return -ENOMEM;
	json_array_foreach (map->maps, i, run) {
		uint64_t gpa = cli_number(run, "gpa"), vnode = cli_number(run, "vnode");

		if (!last || last->end != gpa || last->vnode != vnode) {
			last = &map->ranges[map->range_count++];
			*last = (struct range){vnode, gpa, gpa, 0};
		}
		last->end = gpa + cli_number(run, "bytes");
	}
	for (i = 0; i < map->range_count; i++) {
		struct range *range = &map->ranges[i];
		uint64_t cells = (range->end - first_cell(map, range) + map->step - 1) / map->step;

		range->row = map->rows;
		map->rows += (cells + COLUMNS - 1) / COLUMNS;
	}
	return 0;
}

static int find_nodes(struct memory_map *map)
{
	struct gmig_node_set set = {{0}};
	const char *key;
	json_t *run, *pages;
	size_t i;

	json_array_foreach (map->maps, i, run)
		json_object_foreach (json_object_get(run, "pages"), key, pages)
			gmig_node_set_add(&set, (unsigned int)strtoul(key, NULL, 10));
	map->nodes = calloc(gmig_node_set_count(&set) + 1, sizeof(*map->nodes));
	if (!map->nodes)
		return -ENOMEM;
	gmig_node_set_each (node, &set)
		map->nodes[map->node_count++] = node;
	map->bytes = calloc(map->node_count + KINDS, sizeof(*map->bytes));
	if (!map->bytes)
		return -ENOMEM;
	return picture_create(&map->picture, map->node_count + KINDS);
}

/* Eight that people with any colour vision tell apart (Okabe and Ito); then the same, darker and lighter. */
static unsigned int colour_of(size_t at)
{
	static const unsigned int colours[] = {0x0072b2, 0xe69f00, 0x009e73, 0xcc79a7,
					       0x56b4e9, 0xd55e00, 0xf0e442, 0x7f3c8d};
	unsigned int colour = colours[at % 8], turn = (unsigned int)(at / 8), mixed = 0;

	for (unsigned int shift = 0; shift < 24; shift += 8) {
		unsigned int part = colour >> shift & 0xff, share = (turn + 1) / 2 * 256 / 5 % 256;

		part = turn % 2 ? part * (256 - share) / 256 : part + (255 - part) * share / 256;
		mixed |= part << shift;
	}
	return mixed;
}

/* ---- Boxes ----------------------------------------------------------------------------------- */

/* A part of memory within one cell, from `at` on. */
struct spot {
	double x, y, width; /* of all of the part */
};

static bool find_spot(const struct memory_map *map, const json_t *part, struct spot *spot)
{
	uint64_t gpa = cli_number(part, "gpa"), bytes = cli_number(part, "bytes"), cell, row, at;

	for (size_t i = 0; i < map->range_count && bytes; i++) {
		const struct range *range = &map->ranges[i];

		if (gpa < range->gpa || gpa >= range->end)
			continue;
		at = gpa - first_cell(map, range);
		cell = at / map->step;
		row = range->row + cell / COLUMNS;
		*spot = (struct spot){.x = (double)(cell % COLUMNS) +
					   (double)(at % map->step) / (double)map->step,
				      .y = (double)row,
				      .width = (double)bytes / (double)map->step};
		return true;
	}
	return false;
}

/* So much of the part, as wide as its share; *x is moved behind it. */
static void put_share(struct memory_map *map, size_t series, const struct spot *spot, double *x,
		      double share, double top, double bottom)
{
	if (share <= 0)
		return;
	if (share > 1)
		share = 1;
	picture_box(&map->picture.series[series], *x, *x + spot->width * share, spot->y + top,
		    spot->y + bottom);
	*x += spot->width * share;
}

static void put_mark(struct memory_map *map, enum kind kind, const struct spot *spot,
		     const json_t *run, double top)
{
	double pages = (double)cli_number(run, "bytes") / 4096, x = spot->x;

	map->bytes[map->node_count + kind] += cli_number(run, kinds[kind].key) * 4096;
	put_share(map, map->node_count + kind, spot, &x,
		  (double)cli_number(run, kinds[kind].key) / pages, top, top + MARK);
}

/* The cell is shared out: its area is memory, and so are the sums of the legend. */
static void put_run(struct memory_map *map, const json_t *run)
{
	const json_t *by = json_object_get(run, "pages");
	double pages = (double)cli_number(run, "bytes") / 4096, x;
	struct spot spot;
	char key[16];

	if (!find_spot(map, run, &spot))
		return;
	x = spot.x;
	for (size_t i = 0; i < map->node_count; i++) {
		snprintf(key, sizeof(key), "%u", map->nodes[i]);
		map->bytes[i] += cli_number(by, key) * 4096;
		put_share(map, i, &spot, &x, (double)cli_number(by, key) / pages, 0, ROW_BOTTOM);
	}
	for (enum kind kind = SWAPPED; kind <= UNTOUCHED; kind++) {
		map->bytes[map->node_count + kind] += cli_number(run, kinds[kind].key) * 4096;
		put_share(map, map->node_count + kind, &spot, &x,
			  (double)cli_number(run, kinds[kind].key) / pages, 0, ROW_BOTTOM);
	}
	put_mark(map, FIXED, &spot, run, 0);
	put_mark(map, MOVING, &spot, run, (ROW_BOTTOM - MARK) / 2);
	put_mark(map, SMALL, &spot, run, ROW_BOTTOM - MARK);
}

static void put_heat(struct memory_map *map, const json_t *part)
{
	double bytes = (double)cli_number(part, "bytes"), x;
	struct spot spot;

	if (!find_spot(map, part, &spot))
		return;
	x = COLUMNS + GAP + spot.x;
	for (enum kind kind = HOT; kind <= UNKNOWN; kind++) {
		map->bytes[map->node_count + kind] += cli_number(part, kinds[kind].key);
		put_share(map, map->node_count + kind, &spot, &x,
			  (double)cli_number(part, kinds[kind].key) / bytes, 0, ROW_BOTTOM);
	}
}

static void put_boxes(struct memory_map *map)
{
	json_t *part;
	size_t i;

	json_array_foreach (map->maps, i, part)
		put_run(map, part);
	json_array_foreach (map->heat, i, part)
		put_heat(map, part);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void name_series(struct memory_map *map)
{
	char size[UNITS_TEXT], node[24];

	for (size_t i = 0; i < map->picture.count; i++) {
		struct picture_series *series = &map->picture.series[i];
		const char *name = node;

		snprintf(node, sizeof(node), "node %u", i < map->node_count ? map->nodes[i] : 0);
		if (i >= map->node_count)
			name = kinds[i - map->node_count].name;
		series->colour =
		    i < map->node_count ? colour_of(i) : kinds[i - map->node_count].colour;
		snprintf(series->name, sizeof(series->name), "%s: %s", name,
			 units_size(map->bytes[i], size));
	}
}

static void describe(struct memory_map *map)
{
	struct picture *picture = &map->picture;
	char cell[UNITS_TEXT], row[UNITS_TEXT];
	int length;

	snprintf(picture->title, sizeof(picture->title), "Memory of %.80s, pid %llu%s",
		 cli_text(map->residency, "name"),
		 (unsigned long long)cli_number(map->residency, "pid"),
		 cli_number(map->residency, "fake_nodes") ? ", on fake nodes (pretended)" : "");
	length = snprintf(picture->description, sizeof(picture->description),
			  "A cell is %s (%llu of 2M), a row %s, in the order of addresses.",
			  units_size(map->step, cell), (unsigned long long)(map->step / BLOCK),
			  units_size(map->step * COLUMNS, row));
	for (size_t i = 0; i < picture->count && length < (int)sizeof(picture->description); i++)
		if (map->bytes[i])
			length += snprintf(picture->description + length,
					   sizeof(picture->description) - (size_t)length, " %s.",
					   picture->series[i].name);
}

/* The address of each range's first row, and of every eighth one after it. */
static void put_rows(const struct memory_map *map, FILE *out)
{
	const char *between = "";

	fputs("set ytics scale 0 (", out);
	for (size_t i = 0; i < map->range_count; i++) {
		const struct range *range = &map->ranges[i];
		uint64_t end = i + 1 < map->range_count ? map->ranges[i + 1].row : map->rows;

		for (uint64_t row = range->row; row < end; row += 8) {
			uint64_t gpa =
			    row == range->row
				? range->gpa
				: first_cell(map, range) + (row - range->row) * COLUMNS * map->step;

			fprintf(out, "%s'", between);
			if (row == range->row)
				fprintf(out, "vnode %llu  ", (unsigned long long)range->vnode);
			fprintf(out, "%09llx' %.1f", (unsigned long long)gpa, (double)row + 0.5);
			between = ", ";
		}
	}
	fputs(")\n", out);
}

/* gnuplot drops what it finds no room for: of the legend's entries, each as wide as the longest one, none is to be too many. */
static unsigned int legend_columns(const struct memory_map *map, unsigned int *rows)
{
	size_t longest = 0, drawn = 0;
	unsigned int columns;

	for (size_t i = 0; i < map->picture.count; i++) {
		size_t length = map->bytes[i] ? strlen(map->picture.series[i].name) : 0;

		drawn += length != 0;
		longest = length > longest ? length : longest;
	}
	columns = map->picture.width / (unsigned int)(longest * KEY_CHAR_PX + KEY_SAMPLE_PX);
	columns = columns < 1 ? 1 : columns > 4 ? 4 : columns;
	*rows = (unsigned int)(drawn + columns - 1) / columns;
	return columns;
}

static char *make_settings(struct memory_map *map)
{
	struct picture *picture = &map->picture;
	unsigned int columns, keys, plot_px = (unsigned int)map->rows * (CELL_PX + 2);
	char *settings = NULL, cell[UNITS_TEXT], row[UNITS_TEXT];
	size_t bytes;
	FILE *out = open_memstream(&settings, &bytes);

	if (!out)
		return NULL;
	picture->width = LEFT_PX + (2 * COLUMNS + GAP) * CELL_PX + 30;
	columns = legend_columns(map, &keys);
	picture->height = 90 + plot_px + keys * 20 + 30;
	fprintf(out,
		"unset border\nunset xtics\nset xrange [0:%d]\nset yrange [%llu:0]\n"
		"set lmargin at screen %.6f\nset rmargin at screen %.6f\n"
		"set tmargin at screen %.6f\nset bmargin at screen %.6f\n"
		"set key at screen 0.5, screen %.6f center top horizontal maxcols %u samplen "
		"1.5 Left reverse\n",
		2 * COLUMNS + GAP, (unsigned long long)map->rows, (double)LEFT_PX / picture->width,
		1 - 30.0 / picture->width, 1 - 90.0 / picture->height,
		1 - (90.0 + plot_px) / picture->height, 1 - (100.0 + plot_px) / picture->height,
		columns);
	fprintf(out,
		"set label 'a cell: %s (%llu of 2M), a row: %s; where it lies' at 0,screen %.6f\n"
		"set label '%s' at %d,screen %.6f\n",
		units_size(map->step, cell), (unsigned long long)(map->step / BLOCK),
		units_size(map->step * COLUMNS, row), 1 - 72.0 / picture->height,
		"its heat, by samples and reports", COLUMNS + GAP, 1 - 72.0 / picture->height);
	put_rows(map, out);
	fclose(out);
	return settings;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int draw(struct memory_map *map, const char *path, struct gmig_error *err)
{
	char *settings;
	int rc = find_ranges(map);

	if (!rc)
		rc = find_nodes(map);
	if (rc)
		return gmig_fail(err, rc, "no memory for a picture");
	if (!map->rows)
		return gmig_fail(err, -ENODATA, "the guest has told of no memory");
	put_boxes(map);
	name_series(map);
	describe(map);
	settings = make_settings(map);
	if (!settings)
		return gmig_fail(err, -ENOMEM, "no memory for a picture");
	rc = picture_write(&map->picture, settings, path, err);
	free(settings);
	return rc;
}

static void free_map(struct memory_map *map)
{
	picture_free(&map->picture);
	free(map->ranges);
	free(map->nodes);
	free(map->bytes);
	json_decref(map->maps);
	json_decref(map->heat);
	json_decref(map->residency);
}

int cli_show_map(const char *vm, const char *path)
{
	struct memory_map map = {.maps = json_array(), .heat = json_array()};
	struct gmig_error err = {0};
	int rc = picture_check("show --map", path, &err);

	if (!rc && cli_is_process(vm))
		rc = gmig_fail(
		    &err, -EOPNOTSUPP,
		    "show --map is for guests of gmig-vmm: of a process the kernel tells it, "
		    "in /proc/%.16s/numa_maps",
		    vm + 4);
	if (!rc)
		rc = ask(&map, vm, &err);
	if (!rc)
		rc = draw(&map, path, &err);
	free_map(&map);
	return rc ? cli_fail(false, &err) : CLI_OK;
}
