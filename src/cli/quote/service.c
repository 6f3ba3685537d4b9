// SPDX-License-Identifier: Apache-2.0
#include "cli/quote/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/quote/quote.h"

struct quote_service {
	pthread_mutex_t lock; /* all below */
	const char *folder;
	bool open, refused;
	struct quote_authority authority;
};

int quote_service_create(const char *folder, struct quote_service **out)
{
	struct quote_service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->folder = folder;
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

void quote_service_destroy(struct quote_service *s)
{
	if (!s)
		return;
	if (s->open)
		quote_authority_close(&s->authority);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int open_authority(struct quote_service *s)
{
	char why[QUOTE_WHY];

	if (s->open || s->refused)
		return s->open ? 0 : -EPERM;
	s->open = !quote_authority_open(s->folder, &s->authority, why);
	s->refused = !s->open;
	if (s->refused)
		fprintf(stderr, "softcvm run: the guest gets no quotes: %s\n", why);
	return s->open ? 0 : -EPERM;
}

int quote_service_quote(void *service, const void *report, uint8_t *out, size_t *size)
{
	struct quote_service *s = service;
	struct tdx_report r;
	u8 quote[QUOTE_MAX];
	size_t length = 0;
	int err;

	memcpy(&r, report, sizeof(r));
	pthread_mutex_lock(&s->lock);
	err = open_authority(s);
	if (!err)
		err = quote_make(&s->authority, &r, quote, &length);
	pthread_mutex_unlock(&s->lock);
	if (!err && length > *size)
		err = -EMSGSIZE;
	if (err)
		return err;
	memcpy(out, quote, length);
	*size = length;
	return 0;
}
