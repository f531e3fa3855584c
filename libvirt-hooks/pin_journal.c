#include "pin_journal.h"
#include "id_list.h"
#include "state_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".pins"

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *pin_json(const struct pin *pin, char *text)
{
	json_t *json = json_pack("{s:s, s:I, s:s}", "kind", pin_kind_name(pin->kind), "id",
				 (json_int_t)pin->id, "before", pin_cpus_print(&pin->before, text));

	json_object_set_new(json, "after", json_string(pin_cpus_print(&pin->after, text)));
	return json;
}

static json_t *pairs_json(const struct pin_journal *journal)
{
	json_t *list = json_array();

	for (size_t i = 0; i < journal->pair_count; i++)
		json_array_append_new(list, json_pack("[i, i]", (int)journal->pairs[i].from,
						      (int)journal->pairs[i].to));
	return list;
}

static json_t *journal_json(const struct pin_journal *journal)
{
	char *text = malloc(PIN_CPU_TEXT);
	json_t *pins = json_array();

	for (size_t i = 0; text && journal->pins && i < journal->pins->count; i++) {
		const struct pin *pin = &journal->pins->pin[i];

		if (!pin_cpus_same(&pin->before, &pin->after))
			json_array_append_new(pins, pin_json(pin, text));
	}
	if (!text) {
		json_decref(pins);
		return NULL;
	}
	free(text);
	return json_pack("{s:i, s:s, s:i, s:I, s:b, s:b, s:o, s:o}", "version", STATE_FILE_VERSION,
			 "uuid", journal->uuid, "pid", (int)journal->pid, "start_time",
			 (json_int_t)journal->start_time, "back", (int)journal->back, "begun",
			 journal->pins != NULL, "pairs", pairs_json(journal), "pins", pins);
}

int pin_journal_write(const char *directory, const struct pin_journal *journal,
		      struct gmig_error *err)
{
	return state_file_save(directory, journal->uuid, SUFFIX, journal_json(journal),
			       "the journal of pins", err);
}

void pin_journal_remove(const char *directory, const char *uuid)
{
	state_file_remove(directory, uuid, SUFFIX);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool read_cpus(const json_t *json, const char *name, struct pin_cpus *cpus)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text && !id_list_parse(text, "CPUs", PIN_CPUS, cpus->word, NULL);
}

static bool read_pin(const json_t *json, struct pin *pin)
{
	const char *kind = json_string_value(json_object_get(json, "kind"));
	json_int_t id = json_integer_value(json_object_get(json, "id"));

	pin->id = (unsigned int)id;
	for (pin->kind = PIN_VCPU; pin->kind < PIN_KINDS; pin->kind++)
		if (kind && !strcmp(kind, pin_kind_name(pin->kind)))
			return id >= 0 && id <= UINT32_MAX &&
			       read_cpus(json, "before", &pin->before) &&
			       read_cpus(json, "after", &pin->after);
	return false;
}

static bool read_pins(const json_t *list, struct pin_journal *journal)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return false;
	journal->pins = pin_set_create(json_array_size(list));
	if (!journal->pins)
		return false;
	json_array_foreach (list, i, item)
		if (!read_pin(item, &journal->pins->pin[i]))
			return false;
	return true;
}

static bool read_pairs(const json_t *list, struct pin_journal *journal)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > GMIG_MAX_NODES)
		return false;
	journal->pairs = calloc(json_array_size(list) + 1, sizeof(*journal->pairs));
	if (!journal->pairs)
		return false;
	json_array_foreach (list, i, item) {
		json_int_t from = json_integer_value(json_array_get(item, 0));
		json_int_t to = json_integer_value(json_array_get(item, 1));

		if (json_array_size(item) != 2 || from < 0 || to < 0 ||
		    from >= (json_int_t)GMIG_MAX_NODES || to >= (json_int_t)GMIG_MAX_NODES)
			return false;
		journal->pairs[journal->pair_count++] =
		    (struct pin_pair){(uint16_t)from, (uint16_t)to};
	}
	return true;
}

static bool read_journal(const json_t *json, void *into)
{
	struct pin_journal *journal = into;

	journal->back = json_is_true(json_object_get(json, "back"));
	return state_file_owner(json, journal->uuid, &journal->pid, &journal->start_time) &&
	       read_pairs(json_object_get(json, "pairs"), journal) &&
	       (!json_is_true(json_object_get(json, "begun")) ||
		read_pins(json_object_get(json, "pins"), journal));
}

int pin_journal_read(const char *directory, const char *uuid, struct pin_journal *journal,
		     struct gmig_error *err)
{
	int ret;

	memset(journal, 0, sizeof(*journal));
	ret = state_file_read(directory, uuid, SUFFIX, read_journal, journal, err);
	if (ret)
		pin_journal_free(journal);
	return ret;
}

void pin_journal_free(struct pin_journal *journal)
{
	pin_set_free(journal->pins);
	free(journal->pairs);
	memset(journal, 0, sizeof(*journal));
}
