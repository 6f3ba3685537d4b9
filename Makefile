# SPDX-License-Identifier: Apache-2.0
# A plain face over meson: each target installs what it needs on a fresh Debian 12.
BUILD ?= build
CACHE ?= cache
PREFIX ?= /usr/local
SHELL := /bin/bash

.PHONY: all demo check check-selftests soak bench fuzz native-diff random-test guest install clean deps format

all: deps
	@scripts/build $(BUILD)

deps:
	@scripts/install-deps build

guest: deps
	@scripts/fetch-kernels
	@scripts/make-initrd 6.12
	@scripts/make-initrd 6.1

# Boots Debian's stock 6.12 cloud kernel to user space in a plain VM, a protected VM and a trust domain; what became of their memory.
demo: all guest
	@scripts/demo $(BUILD)

check:
	@scripts/install-deps check
	@scripts/check

# 100 boots in a row of each kernel with 1 and 2 vCPUs.
soak: all guest
	@scripts/soak $(BUILD)

# The 85 KVM selftests of Linux 6.12 beside what a real KVM answered.
check-selftests: all
	@scripts/install-deps check
	@scripts/build-selftests
	@scripts/check-selftests --build $(BUILD)

# Against qemu-system-x86_64 -accel tcg in the same run; prints ratios.
bench:
	@scripts/install-deps bench
	@$(MAKE) --no-print-directory all guest
	@scripts/bench $(BUILD)

fuzz:
	@scripts/install-deps fuzz
	@scripts/fuzz

# Random instruction sequences against the host's processor, with a new seed, until one differs or you stop it.
native-diff:
	@scripts/install-deps check
	@scripts/build $(BUILD)
	@while $(BUILD)/tests/native_diff --count 1000000; do :; done

# Random operations on guest memory, by one thread and by several, without end.
random-test:
	@scripts/install-deps check
	@scripts/build $(BUILD)
	@$(BUILD)/tests/test_random --forever

install: all
	meson install -C $(BUILD)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build build-*
