# libhadpo: what one types. `make help` lists it.
#
# libhadpo.so needs three things that may not stand in Package.swift, where they would break Swift users of the package:
# its SONAME, a version script that exports the interface alone, and the Swift runtime linked in (the host has no Swift).

PREFIX  ?= /usr/local
LIBDIR  ?= lib
DESTDIR ?=
RPATH   ?= -Wl,-rpath,'$$ORIGIN/../$(LIBDIR)'
PYTHON  ?= python3
SWIFT   ?= swift
ifeq ($(origin CC),default)
CC := $(or $(shell command -v clang),$(dir $(shell readlink -f "$$(command -v $(SWIFT))"))clang)
endif
CFLAGS  ?= -O2 -g
BUILD   := build

number   = $(shell awk '$$2 == "$(1)" { print $$3 }' include/hadpo.h)
ABI     := $(call number,HADPO_ABI)
VERSION := $(call number,HADPO_VERSION_MAJOR).$(call number,HADPO_VERSION_MINOR).$(call number,HADPO_VERSION_PATCH)
SONAME  := libhadpo.so.$(ABI)
LIBRARY := $(BUILD)/lib/libhadpo.so.$(VERSION)
TOOL    := $(BUILD)/bin/hadpo

CLI      := $(wildcard bindings/c/cli/*.c)
WARNINGS := -Wall -Wextra -Werror -pedantic -Wshadow -Wstrict-prototypes -Wvla

# Two scratch folders: the library's flags differ from the tests', and one folder would be rebuilt at every change of use.
SWIFT_LIBRARY = $(SWIFT) build -c release --scratch-path $(BUILD)/swift --product hadpo --disable-local-rpath \
	-Xswiftc -static-stdlib -Xswiftc -no-toolchain-stdlib-rpath -Xswiftc -use-ld=lld \
	-Xlinker -soname=$(SONAME) -Xlinker --version-script=$(CURDIR)/$(BUILD)/exports.map -Xlinker -s \
	-Xlinker $(CURDIR)/$(BUILD)/hypotf.o $(foreach name,malloc free realloc posix_memalign malloc_usable_size,-Xlinker --wrap=$(name))

.PHONY: all deps test-deps library cli demo test test-demo test-large soak check check-tsan check-scaling check-arm install uninstall deb deb-check fixtures parity bench bench-json fuzz world clean help
.DELETE_ON_ERROR:

all: library cli

help:
	@echo 'make                      build $(LIBRARY) and $(TOOL)'
	@echo 'make demo                 install what is missing, build, run HA-DPO on the world in the box'
	@echo 'make test                 install what is missing, build, run every test'
	@echo 'make test-demo            the demo of every family on three seeds'
	@echo 'make test-large           files of real size: memory of SHR on 700 MB of regions'
	@echo 'make soak                 100,000 random calls; pictures, models and trainings by the hundred in one process: memory stays flat'
	@echo 'make check-calls CALLS= SEED=   random calls of the whole interface from four threads: what every function promises'
	@echo 'make check-scaling        instructions of every reader as its file doubles: nothing is quadratic (valgrind)'
	@echo 'make check-malloc         every function with each of its large allocations failing once (MALLOC_FAULTS="--most 3": minutes)'
	@echo 'make check-tsan           the C host programs and the library under the thread sanitizer (its own build: 6 minutes)'
	@echo 'make check-faults         every command with a fault at each of its file operations: kill -9, full disk, EIO, EINTR, EMFILE'
	@echo 'make check-guard-pages    the Python tests with a page without access behind every block of memory'
	@echo 'make nightly              the full forms of those, hours'
	@echo 'make test-long            what is too long for make test, in short: faults, random calls, scaling, refused memory, sanitizers'
	@echo 'make check-asan           library, tool, C and Python programs and fuzzers under the address and undefined sanitizers'
	@echo 'make check-asan-short     the C programs and the widest Python tests of it'
	@echo 'make check-arm            the kernels for AArch64, under qemu, against those of this processor'
	@echo 'make check                format, layers, header in ten dialects, symbols, ctypes, docs/reference.md'
	@echo 'make check-abi            types of the interface against those of the last release (abidiff)'
	@echo 'make reference            write docs/reference.md again'
	@echo 'make install PREFIX= LIBDIR= DESTDIR=   library, header, pkg-config file, tool, manual page, shell completions'
	@echo 'make uninstall            takes them away; the same PREFIX, LIBDIR and DESTDIR'
	@echo 'make deb | deb-check      Debian packages | install them in a clean Debian and run them there'
	@echo 'make fixtures | parity    make the test fixtures again | compare with transformers and peft (installs PyTorch)'
	@echo 'make bench                time the kernels (BENCH="--isa avx512 matmul")'
	@echo 'make fuzz FUZZ_SECONDS=   broken files at the interface, then coverage-guided inputs at every reader (a build of its own)'
	@echo 'make bench-json           speed and memory of reading JSON: 100 MB of each kind, a file of 700 MB (BENCH="10 70")'
	@echo 'make world                train the world'\''s base checkpoints again, from nothing'
	@echo 'make wheel | wheel-check  Python wheel for other machines | run it in a clean Debian root'
	@echo 'make swift-example        build and run the Swift package that depends on this one'
	@echo 'make clean                remove $(BUILD) and .build'

# ---- what the machine must have -------------------------------------------------------------------------------------

# Installs those of the named Debian packages that are missing; root, or sudo.
define install_packages
	@missing=; for package in $(1); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing:$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif command -v sudo >/dev/null; then as_root=sudo; \
	else echo "missing packages:$$missing (run: apt-get install$$missing)" >&2; exit 1; fi; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq $$missing >/dev/null
endef

deps:
	$(call install_packages,libopenblas-dev libpng-dev libjpeg62-turbo-dev libjson-c-dev libcurl4-openssl-dev pkg-config python3)

test-deps: deps
	$(call install_packages,python3 openssl)

# ---- library and tool -----------------------------------------------------------------------------------------------

# The listed names and no others: a pattern would let through whatever else begins with hadpo_.
$(BUILD)/exports.map: Tests/ABI/symbols.txt
	@mkdir -p $(@D)
	@awk 'BEGIN { print "{ global:" } !/^#/ && NF { print $$1 ";" } END { print "local: *; };" }' $< > $@

$(BUILD)/hypotf.o: bindings/python/wheel/hypotf.c
	@mkdir -p $(@D)
	$(CC) -std=c99 $(CFLAGS) $(WARNINGS) -fPIC -c $< -o $@

library: $(BUILD)/exports.map $(BUILD)/hypotf.o
	@mkdir -p $(BUILD)/lib
	@built=$$($(SWIFT_LIBRARY) --show-bin-path)/libhadpo.so; [ ! $< -nt $$built ] || rm -f $$built
	$(SWIFT_LIBRARY)
	@built=$$($(SWIFT_LIBRARY) --show-bin-path)/libhadpo.so; \
	cmp -s $$built $(LIBRARY) || { cp $$built $(LIBRARY).new && mv $(LIBRARY).new $(LIBRARY); }
	@ln -sfn libhadpo.so.$(VERSION) $(BUILD)/lib/$(SONAME)
	@ln -sfn $(SONAME) $(BUILD)/lib/libhadpo.so

cli: library $(TOOL)

$(TOOL): $(CLI) $(wildcard bindings/c/cli/*.h) include/hadpo.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -std=c99 $(CFLAGS) $(WARNINGS) -Iinclude $$(pkg-config --cflags json-c libcurl) $(CLI) -o $@ \
		-L$(BUILD)/lib -lhadpo $$(pkg-config --libs json-c libcurl) -lm $(RPATH)

$(LIBRARY): library ;

# Manual page and shell completions, from what the tool's --help says.
PAGES := $(BUILD)/pages

$(PAGES)/hadpo.1: $(TOOL) bindings/c/make_pages.py
	LD_LIBRARY_PATH=$(BUILD)/lib $(PYTHON) bindings/c/make_pages.py $(TOOL) $(PAGES)

TO   := $(DESTDIR)$(PREFIX)
SHARE = $(TO)/share
# From where hadpo.pc lies up to the prefix: one step for each folder of LIBDIR and one for pkgconfig.
UP   := ../$(shell echo $(LIBDIR) | sed 's,[^/][^/]*,..,g')
INSTALLED = $(TO)/$(LIBDIR)/libhadpo.so.$(VERSION) $(TO)/$(LIBDIR)/$(SONAME) $(TO)/$(LIBDIR)/libhadpo.so \
	$(TO)/$(LIBDIR)/pkgconfig/hadpo.pc $(TO)/include/hadpo.h $(TO)/bin/hadpo $(SHARE)/man/man1/hadpo.1 \
	$(SHARE)/bash-completion/completions/hadpo $(SHARE)/zsh/site-functions/_hadpo \
	$(SHARE)/fish/vendor_completions.d/hadpo.fish

install: all $(PAGES)/hadpo.1
	install -d $(sort $(dir $(INSTALLED)))
	install -m 644 $(LIBRARY) $(TO)/$(LIBDIR)/
	ln -sfn libhadpo.so.$(VERSION) $(TO)/$(LIBDIR)/$(SONAME)
	ln -sfn $(SONAME) $(TO)/$(LIBDIR)/libhadpo.so
	install -m 644 include/hadpo.h $(TO)/include/
	sed 's,@VERSION@,$(VERSION),; s,@LIBDIR@,$(LIBDIR),; s,@UP@,$(UP),' pkgconfig/hadpo.pc.in > $(TO)/$(LIBDIR)/pkgconfig/hadpo.pc
	install -m 755 $(TOOL) $(TO)/bin/
	install -m 644 $(PAGES)/hadpo.1 $(SHARE)/man/man1/
	install -m 644 $(PAGES)/hadpo.bash $(SHARE)/bash-completion/completions/hadpo
	install -m 644 $(PAGES)/_hadpo $(SHARE)/zsh/site-functions/
	install -m 644 $(PAGES)/hadpo.fish $(SHARE)/fish/vendor_completions.d/

uninstall:
	rm -f $(INSTALLED)

# libhadpo0, libhadpo-dev and hadpo, in build/deb.
deb: deps
	$(call install_packages,dpkg-dev fakeroot)
	@$(MAKE) --no-print-directory all
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(BUILD)/deb/root PREFIX=/usr LIBDIR=lib/$$(dpkg-architecture -qDEB_HOST_MULTIARCH) \
		TOOL=$(BUILD)/deb/hadpo RPATH= PAGES=$(BUILD)/deb/pages >/dev/null
	bindings/debian/make_deb.sh $(BUILD)/deb $(VERSION)

# The packages in a Debian that has nothing else: debootstrap and chroot, as root.
deb-check: deb
	$(call install_packages,debootstrap lintian)
	Tests/Debian/check.sh $(BUILD)/deb

# ---- using it -------------------------------------------------------------------------------------------------------

demo: deps
	@$(MAKE) --no-print-directory all
	$(TOOL) demo

# Hours on two cores; the result replaces the checkpoint that the library carries.
world: all
	$(TOOL) world train -o $(BUILD)/world-base
	cp $(BUILD)/world-base/model.safetensors Sources/CHadpoWorldAssets/world_model.safetensors
	$(TOOL) world train -o $(BUILD)/world-minigpt4 --set family=minigpt4
	cp $(BUILD)/world-minigpt4/Llama-2-7b-chat-hf/model.safetensors Sources/CHadpoWorldAssets/minigpt4_llama.safetensors
	cp $(BUILD)/world-minigpt4/eva_vit_g.pth Sources/CHadpoWorldAssets/minigpt4_eva.pth
	cp $(BUILD)/world-minigpt4/pretrained_minigpt4_llama2_7b.pth Sources/CHadpoWorldAssets/minigpt4_projection.pth
	$(TOOL) world train -o $(BUILD)/world-instructblip --set family=instructblip
	cp $(BUILD)/world-instructblip/model.safetensors Sources/CHadpoWorldAssets/instructblip.safetensors

# ---- proving it -----------------------------------------------------------------------------------------------------

# The installed tree that the C and Python host tests use, as a stranger's program would.
STAGE := $(BUILD)/stage

test: test-deps
	@$(MAKE) --no-print-directory all
	@rm -rf $(STAGE) && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAGE) PREFIX=/usr >/dev/null
	@CC='$(CC)' SWIFT='$(SWIFT)' $(PYTHON) Tests/run.py --stage $(STAGE)/usr

# Every family's demo on every seed that chose nothing; minutes.
test-demo: test-deps
	@$(MAKE) --no-print-directory all
	HADPO_DEMO_SEEDS=all HADPO_LIBRARY=$(CURDIR)/$(BUILD)/lib/libhadpo.so $(PYTHON) Tests/Hosts/python/test_demo.py -v

# A generated region file of Visual Genome's size; a minute and a gigabyte of disk.
test-large: test-deps
	@$(MAKE) --no-print-directory all
	$(PYTHON) Tests/Large/shr_regions.py $(TOOL)

# Every count of every format doubled twice, instructions counted by valgrind: minutes.
check-scaling: deps
	@$(MAKE) --no-print-directory all
	$(call install_packages,valgrind)
	CC='$(CC)' $(PYTHON) Tests/Scaling/check_scaling.py --library $(LIBRARY)

# Every function of hadpo.h with each of its allocations of a MiB and more failing, once on small inputs and once on large ones.
# MALLOC_FAULTS="--most 3" tries three of each function's, in less than four minutes; "--size 65536 --allow" shows smaller ones.
MALLOC_FAULTS ?=
.PHONY: check-malloc

check-malloc: deps
	@$(MAKE) --no-print-directory library
	@mkdir -p $(BUILD)/faults
	$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -fPIC -shared Tests/Faults/malloc_fault.c -o $(BUILD)/faults/malloc_fault.so
	HADPO_LIBRARY=$(CURDIR)/$(BUILD)/lib/libhadpo.so $(PYTHON) Tests/Faults/malloc_faults.py --preload $(BUILD)/faults/malloc_fault.so \
		$(MALLOC_FAULTS)

# Minutes. Pictures and broken files are drawn and encoded by the program itself.
soak: deps
	@$(MAKE) --no-print-directory all
	@mkdir -p $(BUILD)/soak && rm -rf $(BUILD)/soak/world
	@$(MAKE) --no-print-directory check-calls CALLS=100000
	$(CC) -std=c99 $(CFLAGS) $(WARNINGS) -Iinclude $(wildcard Tests/Soak/*.c) -o $(BUILD)/soak/soak -L$(BUILD)/lib -lhadpo \
		$$(pkg-config --cflags --libs libpng libjpeg) -Wl,-rpath,$(CURDIR)/$(BUILD)/lib
	$(BUILD)/soak/soak $(BUILD)/soak/world Tests/Fixtures

check: test-deps
	$(SWIFT) format lint -s -r Package.swift Sources Tests bindings/swift
	$(PYTHON) Tests/check_layers.py
	CC='$(CC)' Tests/ABI/check_header.sh
	$(PYTHON) Tests/ABI/check_symbols.py $(wildcard $(LIBRARY))
	$(PYTHON) Tests/ABI/check_ctypes.py
	$(PYTHON) Tests/ABI/make_reference.py $(wildcard $(LIBRARY))

# Not with the library's own flags: the sanitizer needs the dynamic Swift runtime, and names where a race is.
SWIFT_TSAN = $(SWIFT) build -c release --sanitize=thread --scratch-path $(BUILD)/tsan --product hadpo --disable-local-rpath \
	-Xswiftc -g -Xcc -g

check-tsan: test-deps
	$(SWIFT_TSAN)
	CC="$$(dirname "$$(readlink -f "$$(command -v $(SWIFT))")")/clang" Tests/Hosts/check_tsan.sh "$$($(SWIFT_TSAN) --show-bin-path)" $(BUILD)/tsan-hosts

# The portable kernels, which are NEON on AArch64. Without multiply-add contracted into one instruction, which x86-64 of the
# baseline has not: the same bits. As they are built otherwise: 2e-6 of an output's largest number, which is what rounding once
# instead of twice does to sums of 320 (seen: 4.3e-7). An emulator shows results, not speed.
ARM := $(BUILD)/arm
ARM_SOURCES = -std=gnu11 -O2 -Wall -Wextra -Werror -ISources/CHadpoKernels/include $(wildcard Sources/CHadpoKernels/*.c) Tests/Arm/kernels.c

check-arm:
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

# PyTorch, transformers and peft live in a folder of their own and are used by these two only.
VENV := $(BUILD)/venv

$(VENV)/installed: Tests/Parity/requirements.txt
	$(call install_packages,python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r Tests/Parity/requirements.txt
	@touch $@

fixtures: $(VENV)/installed
	@for script in $(sort $(wildcard Tests/Fixtures/make_*.py)); do echo $$script; $(VENV)/bin/python $$script || exit 1; done

parity: test-deps $(VENV)/installed
	@$(MAKE) --no-print-directory all
	$(VENV)/bin/python Tests/Parity/run.py

WRAPPED := malloc calloc realloc aligned_alloc posix_memalign free

bench: deps $(BUILD)/bench/kernels
	$(BUILD)/bench/kernels $(BENCH)

$(BUILD)/bench/kernels: $(wildcard Sources/CHadpoKernels/*.[ch] Sources/CHadpoKernels/include/*.h Tests/Bench/*.[ch])
	@mkdir -p $(@D)
	$(CC) -O3 -ISources/CHadpoKernels/include -o $@ Tests/Bench/bench_kernels.c Tests/Bench/peaks.c Tests/Bench/allocations.c \
		$(wildcard Sources/CHadpoKernels/*.c) $(foreach name,$(WRAPPED),-Wl,--wrap=$(name)) -lm -lpthread -ldl

bench-json: deps
	@$(MAKE) --no-print-directory library
	@mkdir -p $(BUILD)/bench
	$(CC) -std=c99 -D_DEFAULT_SOURCE $(CFLAGS) -Iinclude Tests/Bench/bench_json.c -o $(BUILD)/bench/json -L$(BUILD)/lib -lhadpo \
		-Wl,-rpath,$(CURDIR)/$(BUILD)/lib
	cd $(BUILD)/bench && ./json $(BENCH)

# The kernels alone, for a peer's process that calls both sides in turns (Tests/Bench/peers/torch_linear.py).
$(BUILD)/bench/libkernels.so: $(wildcard Sources/CHadpoKernels/*.[ch] Sources/CHadpoKernels/include/*.h)
	@mkdir -p $(@D)
	$(CC) -O3 -fPIC -shared -ISources/CHadpoKernels/include -o $@ $(wildcard Sources/CHadpoKernels/*.c) -lm -lpthread -ldl

# ---- the Python wheel -------------------------------------------------------------------------------------------------

.PHONY: wheel wheel-check
WHEEL_VENV := $(BUILD)/wheel-venv

$(WHEEL_VENV)/installed: bindings/python/wheel/requirements.txt
	$(call install_packages,python3-venv)
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/pip install -q -r $<
	@touch $@

# The tool that finds the machine's libcurl when it needs one; libhadpo.so lies beside it, in the wheel as here.
$(BUILD)/wheel/bin/hadpo: $(CLI) bindings/python/wheel/curl_runtime.c $(wildcard bindings/c/cli/*.h) include/hadpo.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -Iinclude $$(pkg-config --cflags json-c libcurl) $(CLI) bindings/python/wheel/curl_runtime.c \
		-o $@ -L$(BUILD)/lib -lhadpo $$(pkg-config --libs json-c) -lm -ldl -Wl,-rpath,'$$ORIGIN/../lib' -s

wheel: $(WHEEL_VENV)/installed
	@$(MAKE) --no-print-directory all $(BUILD)/wheel/bin/hadpo
	SWIFT='$(SWIFT)' $(WHEEL_VENV)/bin/python bindings/python/wheel/make_wheel.py $(BUILD)/wheel/bin/hadpo $(BUILD)/wheel/dist

# Types and tests with NumPy, Pillow and TensorBoard beside the wheel; then a Debian root with python3 and python3-venv and
# nothing of ours. Root, and the network for debootstrap.
wheel-check: wheel
	$(call install_packages,debootstrap)
	$(WHEEL_VENV)/bin/pip install -q --no-index --no-deps --force-reinstall $(BUILD)/wheel/dist/*.whl
	$(WHEEL_VENV)/bin/python -m mypy --strict -p hadpo
	$(WHEEL_VENV)/bin/python -m mypy --strict Tests/Wheel/typed_usage.py
	$(WHEEL_VENV)/bin/pyright --pythonpath $(WHEEL_VENV)/bin/python bindings/python/hadpo Tests/Wheel/typed_usage.py
	HADPO_LIBRARY=$(CURDIR)/$(LIBRARY) HADPO_TOOL=$(CURDIR)/$(TOOL) $(WHEEL_VENV)/bin/python -m unittest discover -s Tests/Hosts/python -p 'test_package.py'
	$(PYTHON) Tests/Wheel/check.py $(BUILD)/wheel/dist $(BUILD)/debian-root

clean:
	rm -rf $(BUILD) .build

# ---- types of the interface against the last release --------------------------------------------------------------------

.PHONY: check-abi
check-abi: test-deps
	$(call install_packages,abigail-tools)
	CC='$(CC)' $(PYTHON) Tests/ABI/check_abi.py

# ---- docs/reference.md --------------------------------------------------------------------------------------------------

.PHONY: reference
reference: all
	$(PYTHON) Tests/ABI/make_reference.py $(LIBRARY) --write

# ---- the Swift examples, a package of their own: minutes, it compiles the library once more ------------------------------

.PHONY: swift-example
SWIFT_EXAMPLE = $(SWIFT) build -c release --package-path bindings/swift/examples --scratch-path $(BUILD)/swift-example

swift-example: deps
	$(SWIFT_EXAMPLE)
	@rm -rf $(BUILD)/swift-world
	$$($(SWIFT_EXAMPLE) --show-bin-path)/measure $(BUILD)/swift-world | tee $(BUILD)/swift-example.txt
	@grep -E '^(before|after): |^trained ' docs/getting-started-swift.md | diff - $(BUILD)/swift-example.txt

# ---- faults at every file operation, random calls, guarded memory ---------------------------------------------------------

.PHONY: check-faults check-faults-short check-calls check-calls-short check-guard-pages check-malloc-short test-long nightly
FAULTS := $(BUILD)/faults
CHECK_FAULTS = $(PYTHON) Tests/Faults/check_faults.py $(FAULTS)/fault_injection.so $(TOOL)

$(FAULTS)/%.so: Tests/Faults/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CFLAGS) $(WARNINGS) -fPIC -shared $< -o $@ -ldl -lpthread

check-faults: test-deps $(FAULTS)/fault_injection.so
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

check-calls: deps
	@[ "$(CALLS_LIBRARY)" != "$(CURDIR)/$(BUILD)/lib" ] || $(MAKE) --no-print-directory all
	@mkdir -p $(BUILD)/soak && rm -rf $(BUILD)/soak/calls
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) $(CALLS_FLAGS) -Iinclude $(wildcard Tests/Soak/calls/*.c) -o $(BUILD)/soak/random_calls \
		-L$(CALLS_LIBRARY) -lhadpo -lpthread -Wl,-rpath,$(CALLS_LIBRARY)
	$(BUILD)/soak/random_calls $(BUILD)/soak/calls Tests/Fixtures Tests/ABI/symbols.txt $(CALLS) $(SEED)

check-calls-short:
	@$(MAKE) --no-print-directory check-calls CALLS=5000

# Sanitizers do not see what a library that was not built with them reads and writes; this does, of blocks from 2 KiB on (GUARD_FROM=64:
# nearly all, slower).
check-guard-pages: test-deps $(FAULTS)/guard_pages.so
	@$(MAKE) --no-print-directory all
	@rm -rf $(STAGE) && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAGE) PREFIX=/usr >/dev/null
	HADPO_LIBRARY=$(CURDIR)/$(STAGE)/usr/lib/libhadpo.so HADPO_TOOL=$(CURDIR)/$(STAGE)/usr/bin/hadpo PYTHONPATH=bindings/python \
		LD_PRELOAD=$(CURDIR)/$(FAULTS)/guard_pages.so $(PYTHON) -m unittest discover -s Tests/Hosts/python -t Tests/Hosts/python

check-malloc-short:
	@$(MAKE) --no-print-directory check-malloc MALLOC_FAULTS="--most 3"

# Hours. `make parity` and `make test-demo` beside it are what a release needs.
nightly: check-faults soak check-malloc check-scaling check-guard-pages check-asan check-tsan fuzz

test-long: check-faults-short check-calls-short check-scaling check-malloc-short check-asan-short

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

check-asan: asan-library
	$(CHECK_ASAN) $(BUILD)/asan-hosts/plain/usr "$$($(SWIFT_ASAN) --show-bin-path)/libhadpo.so" $(BUILD)/asan-hosts

check-asan-short: asan-library
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

fuzz: deps
	@$(MAKE) --no-print-directory all $(INTERFACE_FUZZERS)
	$(SWIFT_FUZZ)
	@PATH="$(dir $(CLANG_OF_SWIFT)):$$PATH" $(PYTHON) Tests/Fuzz/run.py "$$($(SWIFT_FUZZ) --show-bin-path)/hadpo-fuzz" \
		$(addprefix --interface ,$(INTERFACE_FUZZERS)) --seconds $(FUZZ_SECONDS) $(FUZZ)

$(BUILD)/fuzz/fuzz_%: Tests/Fuzz/fuzz_%.c Tests/Fuzz/mutate.c Tests/Fuzz/mutate.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -std=c99 -g -O1 -Wall -Wextra -Werror -Iinclude $< Tests/Fuzz/mutate.c -o $@ -L$(BUILD)/lib -lhadpo \
		-Wl,-rpath,$(CURDIR)/$(BUILD)/lib
