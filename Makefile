# SPDX-License-Identifier: GPL-2.0-only
# A thin front: CMake presets do the work, in build/PRESET. Each target can be repeated, and does what is left to do.
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

JOBS ?= $(shell nproc)
RUN_SECONDS ?= 10
FUZZ_SECONDS ?= 60
# The longest test takes a fifth of this on a slow machine; more is a bug of the test.
TEST_TIMEOUT ?= 900
PREFIX ?= /usr/local
export DESTDIR

.NOTPARALLEL:
.PHONY: help setup setup-tests build install deb debug asan tsan run test test-threads objects programs own-btf bench
.PHONY: build-all link-uscx conformance fuzz lint format check-format tidy clean distclean

help: ## This list
	@echo "uscx: sched_ext schedulers on a simulated machine. Targets:"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: ## Install what is missing from Debian's packages, get libbpf
	@scripts/setup

setup-tests:
	@scripts/setup tests

# The presets are configured once; afterwards the build itself sees when CMake must run again.
build/%/build.ninja: CMakePresets.json | setup
	@mkdir -p build
	@cmake --preset $* >build/$*.log || { tail -20 build/$*.log >&2; exit 1; }

build: setup build/release/build.ninja ## Build the optimised uscx, as build/uscx
	@[ -e build/uscx ] || echo "Compiling uscx: some 270 files, about three minutes of two processors"
	@cmake --build --preset release -j$(JOBS) --target uscx
	@$(MAKE) link-uscx

# Tests and benchmarks too. A build folder that was configured before their libraries were there is configured again.
build-all: setup-tests build/release/build.ninja
	@[ -e build/release/programs/with-tests ] || cmake --preset release -DUSCX_TESTS=ON >build/release.log
	@cmake --build --preset release -j$(JOBS)
	@$(MAKE) link-uscx

link-uscx:
	@ln -sfn "$$(realpath --relative-to=build "$$(cat build/release/programs/uscx.path)")" build/uscx

install: build ## Install the command, headers, man pages and completions below PREFIX, or DESTDIR/PREFIX
	@cmake --install build/release --prefix "$(PREFIX)" >/dev/null
	@echo "uscx is installed below $(DESTDIR)$(PREFIX)"

deb: build ## Make a Debian package of the optimised uscx, build/uscx_VERSION_ARCH.deb
	@scripts/make-deb build/release build

debug asan tsan: %: setup-tests build/%/build.ninja ## Build with the preset of that name, in build/NAME
	@cmake --build --preset $@ -j$(JOBS)

run: build ## Run scx_qmap on 16 simulated CPUs: a report, and a trace to open in Perfetto
	@build/uscx run --cpus 16 --workload mixed --duration $(RUN_SECONDS)s --trace build/qmap.perfetto-trace scx_qmap
	@echo "The trace is build/qmap.perfetto-trace; open it at https://ui.perfetto.dev"

# The release tests come last, so that their summary is the last thing on the screen; they include the style checks.
test: build-all asan objects programs test-threads ## Run all tests: the sanitizer builds', then the release build's
	@ctest --preset asan -j$(JOBS) --timeout $(TEST_TIMEOUT)
	@ctest --preset release -j$(JOBS) --timeout $(TEST_TIMEOUT)

# Only what runs on real threads is built and run with ThreadSanitizer.
test-threads: setup-tests build/tsan/build.ninja ## Run the threaded machine's tests with ThreadSanitizer
	@cmake --build --preset tsan -j$(JOBS) --target machine_test sched_test torture_test
	@ctest --preset tsan -L threads --timeout $(TEST_TIMEOUT)

objects: setup-tests build ## Build unmodified kernel schedulers into build/linux-source-VERSION/
	@scripts/kernel-sources
	@scripts/kernel-objects
	@$(MAKE) own-btf

programs: setup-tests ## Build the kernel's example programs, unchanged, into build/linux-source-VERSION/programs/
	@scripts/kernel-sources
	@scripts/kernel-programs

conformance: build programs ## Run the kernel's example programs and selftests unchanged
	@mkdir -p build/conformance
	@for version in 7.2 6.12; do ln -sfn ../linux-source-$$version/programs build/conformance/$$version; done
	@python3 tests/conformance/conformance.py build/uscx build

# A fresh dump that says the same leaves the old file, and so the objects, as they are.
own-btf:
	@mkdir -p build/own-btf
	@cmake --build --preset release -j$(JOBS) --target btf_to_c
	@build/uscx btf --dump build/own-btf/uscx.btf
	@"$$(cat build/release/programs/btf_to_c.path)" build/own-btf/uscx.btf >build/own-btf/vmlinux.h.new
	@cmp -s build/own-btf/vmlinux.h.new build/own-btf/vmlinux.h || \
		mv build/own-btf/vmlinux.h.new build/own-btf/vmlinux.h
	@rm -f build/own-btf/vmlinux.h.new
	@scripts/kernel-objects --own-btf build/own-btf/vmlinux.h

bench: build-all ## Measure: events per second, cost per BPF call, exploring, loading
	@cmake --build --preset release -j$(JOBS) --target hooks_plain
	@shopt -s nullglob; found=; for bench in build/release/bench/*_bench; do found=1; "$$bench"; done; \
		[ -n "$$found" ] || { echo "no benchmark was built" >&2; exit 1; }

fuzz: setup-tests build/fuzz/build.ninja ## Run each fuzzer for FUZZ_SECONDS; what fails is left in build/fuzz/
	@cmake --build --preset fuzz -j$(JOBS) --target fuzzers
	@for corpus in fuzz/corpus/*; do name=$${corpus#fuzz/corpus/}; mkdir -p build/fuzz/found/$$name; \
		build/fuzz/fuzz/$${name}_fuzzer -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/$$name- \
		-print_final_stats=1 build/fuzz/found/$$name $$corpus; done

SOURCES = $(shell git ls-files -co --exclude-standard -- '*.cc' '*.h' '*.c' ':!:tests/data')

lint: build-all check-format tidy ## Check formatting, clang-tidy, include directions, licence lines and words
	@scripts/check_includes
	@scripts/check_style

check-format:
	@clang-format --dry-run --Werror $(SOURCES)

format: setup-tests ## Format all sources in place
	@clang-format -i $(SOURCES)

tidy: build-all
	@run-clang-tidy -quiet -j$(JOBS) -p build/release "$(CURDIR)/(src|bench|tests)/.*\.cc$$" 2>&1 | \
		{ grep -v -E '^(clang-tidy|[0-9]+ warnings? |Use -header-filter|Suppressed )' || true; }

clean: ## Remove what was built from our own sources
	@rm -rf build/release build/debug build/asan build/tsan build/fuzz build/own-btf build/uscx build/*.perfetto-trace
	@rm -f build/linux-source-*/*.bpf.o

distclean: ## Remove all of build/, the fetched packages too
	@rm -rf build
