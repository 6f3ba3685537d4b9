// SPDX-License-Identifier: Apache-2.0
/* module: creation and end of the TDX module. */
#include <errno.h>
#include <stdlib.h>

#include "hw/tdx/module.h"

int tdx_module_create(struct hw_machine *m, struct tdx_module **out)
{
	struct tdx_module *mod;
	int r;

	if (hw_machine_config(m)->platform != HW_PLATFORM_INTEL)
		return -EINVAL;
	r = tdx_cpuid_check(m);
	if (!r)
		r = hw_phys_init();
	if (r)
		return r;
	mod = calloc(1, sizeof(*mod));
	if (!mod)
		return -ENOMEM;
	mod->machine = m;
	mod->obs = hw_machine_config(m)->obs;
	pthread_mutex_init(&mod->lock, NULL);
	*out = mod;
	return 0;
}

/* The processors are gone. */
static void free_vp(struct pamt_entry *e, void *opaque)
{
	struct tdx_vp *vp = e->object;

	if (e->type != TDX_PAGE_TDVPR)
		return;
	vp->lp = NULL;
	tdx_vp_free(vp);
}

void tdx_module_destroy(struct tdx_module *mod)
{
	if (!mod)
		return;
	pamt_for_each(&mod->pamt, free_vp, NULL);
	while (mod->tds) {
		struct tdx_td *td = mod->tds;

		mod->tds = td->next;
		tdx_td_free(td);
	}
	pamt_destroy(&mod->pamt);
	pthread_mutex_destroy(&mod->lock);
	free(mod);
}

/* Done by tdx_module_create(). */
u64 tdh_sys_init(struct seam_call *s)
{
	return TDX_SUCCESS;
}
