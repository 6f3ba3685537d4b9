// SPDX-License-Identifier: Apache-2.0
#pragma once

/* A line for fstat() of the file. */
void answer_stat(int fd, const char *note);
