// SPDX-License-Identifier: Apache-2.0
/* Lists of names to masks. */
#include <errno.h>
#include <string.h>

#include "observe/text.h"

enum group { GROUP_STEPS, GROUP_MEMORY, GROUP_KVM, GROUP_DETAIL, GROUP_ALL };

static const char *const group_names[] = {
	[GROUP_STEPS] = "steps", [GROUP_MEMORY] = "memory", [GROUP_KVM] = "kvm", [GROUP_DETAIL] = "detail", [GROUP_ALL] = "all",
};

static const enum group group_of[OBSERVE_EVENT_COUNT] = {
#define OBSERVE_EVENT(id, name, group, nargs, format) [OBSERVE_##id] = GROUP_##group,
#include "observe/events.def"
#undef OBSERVE_EVENT
};

static bool add_group(struct observe_mask *mask, const char *name, size_t length)
{
	for (enum group g = GROUP_STEPS; g <= GROUP_ALL; g++) {
		if (strlen(group_names[g]) != length || memcmp(group_names[g], name, length))
			continue;
		for (int event = 0; event < OBSERVE_EVENT_COUNT; event++)
			if (g == GROUP_ALL || group_of[event] == g)
				observe_mask_add(mask, event);
		return true;
	}
	return false;
}

struct observe_mask observe_mask_all(void)
{
	struct observe_mask mask = {{0}};

	add_group(&mask, group_names[GROUP_ALL], strlen(group_names[GROUP_ALL]));
	return mask;
}

int observe_parse_mask(const char *list, struct observe_mask *mask, const char **bad)
{
	struct observe_mask wanted = {{0}};

	for (const char *at = list; *at;) {
		size_t length = strcspn(at, ",");
		int event = observe_find_event(at, length);

		if (event >= 0) {
			observe_mask_add(&wanted, event);
		} else if (!add_group(&wanted, at, length)) {
			*bad = at;
			return -EINVAL;
		}
		at += length + (at[length] == ',');
	}
	*mask = wanted;
	return 0;
}
