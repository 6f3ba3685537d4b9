// SPDX-License-Identifier: Apache-2.0
#include "stat.h"

#include <stdio.h>
#include <sys/stat.h>

#include "answer.h"

void answer_stat(int fd, const char *note)
{
	struct stat st = {0};
	struct answer a = answered(fstat(fd, &st));
	char tail[128];

	snprintf(tail, sizeof(tail), "st_mode=%#o st_size=0x%lx st_blksize=%ld st_blocks=%ld st_nlink=%lu", st.st_mode,
		 st.st_size, st.st_blksize, st.st_blocks, st.st_nlink);
	answer_line(a, tail, "fstat  %s", note);
}
