# Checks that take longer than `make test`, and those that a release needs; included by the Makefile.

.PHONY: test-demo test-large check-scaling check-malloc soak check-tsan check-arm check-abi

# The demo of every family on seeds that no number of steps was chosen on; minutes.
test-demo: test-deps  ## the demo of every family on three seeds
	@$(MAKE) --no-print-directory all
	HADPO_DEMO_SEEDS=all HADPO_LIBRARY=$(CURDIR)/$(BUILD)/lib/libhadpo.so $(PYTHON) Tests/Hosts/python/test_demo.py -v

# A generated region file of Visual Genome's size; a minute and a gigabyte of disk.
test-large: test-deps  ## memory of SHR on 700 MB of regions
	@$(MAKE) --no-print-directory all
	$(PYTHON) Tests/Large/shr_regions.py $(TOOL)

# Every count of every format doubled twice, instructions counted by valgrind: minutes.
check-scaling: deps  ## instructions of every reader as its file doubles: nothing is quadratic
	@$(MAKE) --no-print-directory all
	$(call install_packages,valgrind)
	CC='$(CC)' $(PYTHON) Tests/Scaling/check_scaling.py --library $(LIBRARY)

# Every function of hadpo.h with each of its allocations of a MiB and more failing, once on small inputs and once on large ones.
# MALLOC_FAULTS="--most 3" tries three of each function's, in less than four minutes; "--size 65536 --allow" shows smaller ones.
MALLOC_FAULTS ?=
check-malloc: deps  ## every function with each of its large allocations failing once: MALLOC_FAULTS="--most 3"
	@$(MAKE) --no-print-directory library
	@mkdir -p $(BUILD)/faults
	$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -fPIC -shared Tests/Faults/malloc_fault.c -o $(BUILD)/faults/malloc_fault.so
	HADPO_LIBRARY=$(CURDIR)/$(BUILD)/lib/libhadpo.so $(PYTHON) Tests/Faults/malloc_faults.py --preload $(BUILD)/faults/malloc_fault.so \
		$(MALLOC_FAULTS)

# Minutes. Pictures and broken files are drawn and encoded by the program itself.
soak: deps  ## random calls; pictures, models and trainings by the hundred in one process: memory stays flat
	@$(MAKE) --no-print-directory all
	@mkdir -p $(BUILD)/soak && rm -rf $(BUILD)/soak/world
	@$(MAKE) --no-print-directory check-calls CALLS=100000
	$(CC) -std=c99 $(CFLAGS) $(WARNINGS) -Iinclude $(wildcard Tests/Soak/*.c) -o $(BUILD)/soak/soak -L$(BUILD)/lib -lhadpo \
		$$(pkg-config --cflags --libs libpng libjpeg) -Wl,-rpath,$(CURDIR)/$(BUILD)/lib
	$(BUILD)/soak/soak $(BUILD)/soak/world Tests/Fixtures

# Not with the library's own flags: the sanitizer needs the dynamic Swift runtime, and names where a race is.
SWIFT_TSAN = $(SWIFT) build -c release --sanitize=thread --scratch-path $(BUILD)/tsan --product hadpo --disable-local-rpath \
	-Xswiftc -g -Xcc -g

check-tsan: test-deps  ## C programs and library under the thread sanitizer
	$(SWIFT_TSAN)
	CC="$$(dirname "$$(readlink -f "$$(command -v $(SWIFT))")")/clang" Tests/Hosts/check_tsan.sh "$$($(SWIFT_TSAN) --show-bin-path)" $(BUILD)/tsan-hosts

# The portable kernels, which are NEON on AArch64. Without multiply-add contracted into one instruction, which x86-64 of the
# baseline has not: the same bits. As they are built otherwise: 2e-6 of an output's largest number, which is what rounding once
# instead of twice does to sums of 320 (seen: 4.3e-7). An emulator shows results, not speed.
ARM := $(BUILD)/arm
ARM_SOURCES = -std=gnu11 -O2 -Wall -Wextra -Werror -ISources/CHadpoKernels/include $(wildcard Sources/CHadpoKernels/*.c) Tests/Arm/kernels.c

check-arm:  ## the kernels for AArch64, under an emulator, against those of this processor
	$(call install_packages,gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
	@mkdir -p $(ARM)
	@for contract in off on; do \
		limit=$$([ $$contract = off ] && echo 0 || echo 2e-6); echo "multiply-add contracted: $$contract"; \
		$(CC) $(ARM_SOURCES) -ffp-contract=$$contract -o $(ARM)/native -lm -lpthread -ldl && \
		$(CC) --target=aarch64-linux-gnu -static -fuse-ld=lld $(ARM_SOURCES) -ffp-contract=$$contract -o $(ARM)/aarch64 -lm -lpthread -ldl && \
		$(ARM)/native write $(ARM)/outputs && qemu-aarch64-static $(ARM)/aarch64 compare $(ARM)/outputs $$limit > $(ARM)/compared || \
		{ cat $(ARM)/compared; exit 1; }; \
		echo "$$(grep -c ' ok ' $(ARM)/compared) outputs hold, $$(grep -c 'same bits' $(ARM)/compared) of them the same bits"; \
	done

# ---- types of the interface against the last release --------------------------------------------------------------------

check-abi: test-deps  ## types of the interface against those of the last release
	$(call install_packages,abigail-tools)
	CC='$(CC)' $(PYTHON) Tests/ABI/check_abi.py

# ---- faults at every file operation, random calls, guarded memory ---------------------------------------------------------

.PHONY: check-faults check-faults-short check-calls check-calls-short check-guard-pages check-malloc-short
FAULTS := $(BUILD)/faults
CHECK_FAULTS = $(PYTHON) Tests/Faults/check_faults.py $(FAULTS)/fault_injection.so $(TOOL)

$(FAULTS)/%.so: Tests/Faults/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -fPIC -shared $< -o $@ -ldl -lpthread

check-faults: test-deps $(FAULTS)/fault_injection.so  ## every command with a fault at each of its file operations
	@$(MAKE) --no-print-directory all
	$(CHECK_FAULTS)

# Every 47th point: a prime, so that all ways of failing have their turn.
check-faults-short: test-deps $(FAULTS)/fault_injection.so
	@$(MAKE) --no-print-directory all
	$(CHECK_FAULTS) --stride 47

# A library with a sanitizer: CALLS_LIBRARY, its folder, and CALLS_FLAGS, what links with it.
CALLS ?= 100000
SEED  ?= 1
CALLS_LIBRARY ?= $(CURDIR)/$(BUILD)/lib
CALLS_FLAGS   ?=

check-calls: deps  ## random calls of the whole interface from four threads: CALLS= SEED=
	@[ "$(CALLS_LIBRARY)" != "$(CURDIR)/$(BUILD)/lib" ] || $(MAKE) --no-print-directory all
	@mkdir -p $(BUILD)/soak && rm -rf $(BUILD)/soak/calls
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) $(CALLS_FLAGS) -Iinclude $(wildcard Tests/Soak/calls/*.c) -o $(BUILD)/soak/random_calls \
		-L$(CALLS_LIBRARY) -lhadpo -lpthread -Wl,-rpath,$(CALLS_LIBRARY)
	$(BUILD)/soak/random_calls $(BUILD)/soak/calls Tests/Fixtures Tests/ABI/symbols.txt $(CALLS) $(SEED)

check-calls-short:
	@$(MAKE) --no-print-directory check-calls CALLS=5000

# Sanitizers do not see what a library that was not built with them reads and writes; this does, of blocks from 2 KiB on (GUARD_FROM=64:
# nearly all, slower).
check-guard-pages: test-deps $(FAULTS)/guard_pages.so  ## the Python tests with a page without access behind every block of memory
	@$(MAKE) --no-print-directory all
	@rm -rf $(STAGE) && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAGE) PREFIX=/usr >/dev/null
	HADPO_LIBRARY=$(CURDIR)/$(STAGE)/usr/lib/libhadpo.so HADPO_TOOL=$(CURDIR)/$(STAGE)/usr/bin/hadpo PYTHONPATH=bindings/python \
		LD_PRELOAD=$(CURDIR)/$(FAULTS)/guard_pages.so $(PYTHON) -m unittest discover -s Tests/Hosts/python -t Tests/Hosts/python

check-malloc-short:
	@$(MAKE) --no-print-directory check-malloc MALLOC_FAULTS="--most 3"

# ---- sanitizers and fuzzing ---------------------------------------------------------------------------------------------

.PHONY: check-asan check-asan-short asan-library

# A build of its own, with the dynamic Swift runtime, which is not instrumented. The library names the sanitizer's runtime as one it
# needs, so that programs that know nothing of it can be linked.
CLANG_OF_SWIFT = $(dir $(shell readlink -f "$$(command -v $(SWIFT))"))clang
ASAN_RUNTIME = $(shell find $(dir $(CLANG_OF_SWIFT))../lib/clang -name 'libclang_rt.asan-$(shell uname -m).so' | head -1)
SWIFT_ASAN = $(SWIFT) build -c release --sanitize=address --scratch-path $(BUILD)/asan --product hadpo --disable-local-rpath \
	-Xswiftc -g -Xcc -g -Xcc -fsanitize=undefined -Xcc -fno-omit-frame-pointer -Xlinker -soname=$(SONAME) \
	-Xlinker $(ASAN_RUNTIME) -Xlinker -rpath=$(dir $(ASAN_RUNTIME))

asan-library: test-deps
	@$(MAKE) --no-print-directory all
	$(SWIFT_ASAN)
	@rm -rf $(BUILD)/asan-hosts/plain && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(BUILD)/asan-hosts/plain PREFIX=/usr >/dev/null

CHECK_ASAN = CC="$(CLANG_OF_SWIFT)" PYTHON="$(PYTHON)" FUZZ_SECONDS="$(FUZZ_SECONDS)" Tests/Hosts/check_asan.sh

check-asan: asan-library  ## library, tool, C and Python programs and fuzzers under the address sanitizer
	$(CHECK_ASAN) $(BUILD)/asan-hosts/plain/usr "$$($(SWIFT_ASAN) --show-bin-path)/libhadpo.so" $(BUILD)/asan-hosts

check-asan-short: asan-library  ## the C programs and the widest Python tests of it
	$(CHECK_ASAN) --short $(BUILD)/asan-hosts/plain/usr "$$($(SWIFT_ASAN) --show-bin-path)/libhadpo.so" $(BUILD)/asan-hosts

# Blind mutations at the interface of the library as it is shipped, then coverage-guided inputs at every reader (Tests/Fuzz/Parsers),
# which takes a build of its own. FUZZ_SECONDS is for each of them; FUZZ="--only json png" picks readers.
FUZZ_SECONDS ?= 20
FUZZ ?=
INTERFACE_FUZZERS = $(patsubst Tests/Fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard Tests/Fuzz/fuzz_*.c))
COVERAGE = inline-8bit-counters,pc-table,trace-cmp
SWIFT_FUZZ = HADPO_FUZZ=1 $(SWIFT) build -c release --sanitize=address --scratch-path $(BUILD)/fuzz-swift --product hadpo-fuzz \
	-Xswiftc -g -Xcc -g -Xswiftc -sanitize-coverage=edge,$(COVERAGE) -Xcc -fsanitize-coverage=$(COVERAGE) \
	-Xlinker $(subst asan,fuzzer_no_main,$(ASAN_RUNTIME:.so=.a)) -Xlinker -lstdc++

fuzz: deps  ## broken files, then coverage-guided inputs, at every reader: FUZZ_SECONDS= FUZZ="--only json png"
	@$(MAKE) --no-print-directory all $(INTERFACE_FUZZERS)
	$(SWIFT_FUZZ)
	@PATH="$(dir $(CLANG_OF_SWIFT)):$$PATH" $(PYTHON) Tests/Fuzz/run.py "$$($(SWIFT_FUZZ) --show-bin-path)/hadpo-fuzz" \
		$(addprefix --interface ,$(INTERFACE_FUZZERS)) --seconds $(FUZZ_SECONDS) $(FUZZ)

$(BUILD)/fuzz/fuzz_%: Tests/Fuzz/fuzz_%.c Tests/Fuzz/mutate.c Tests/Fuzz/mutate.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -std=c99 -g -O1 -Wall -Wextra -Werror -Iinclude $< Tests/Fuzz/mutate.c -o $@ -L$(BUILD)/lib -lhadpo \
		-Wl,-rpath,$(CURDIR)/$(BUILD)/lib
