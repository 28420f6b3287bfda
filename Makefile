# libhadpo: what one types. `make help` lists it. Installing and packaging: bindings/install.mk; checks that take longer than `make test`:
# Tests/checks.mk; comparisons with other software and benchmarks: Tests/peers.mk.
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

.PHONY: all help library cli have-deps deps test-deps demo test test-long nightly check reference clean
.DELETE_ON_ERROR:

all: library cli  ## build the library and the tool; installs nothing

help:  ## this list
	@printf '%s\n' 'make TARGET [NAME=VALUE ...]' ''
	@sed -nE 's/^([a-z][a-z-]*):.*  ## (.*)/\1	\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "%-20s %s\n", $$1, $$2 }'

# ---- what the machine must have -------------------------------------------------------------------------------------

PACKAGES = libopenblas-dev libpng-dev libjpeg62-turbo-dev libjson-c-dev libcurl4-openssl-dev pkg-config python3

# In the shell: those of the Debian packages $(1) that are missing.
missing = $$(for package in $(1); do dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || printf ' %s' $$package; done)

# Installs those of the named Debian packages that are missing, having said which; root, or sudo. With DEPS=no it only says.
DEPS ?= yes
define install_packages
	@missing="$(call missing,$(1))"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$(DEPS)" = no ]; then echo "missing packages:$$missing (DEPS=no: nothing is installed)" >&2; exit 1; fi; \
	echo "installing:$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif command -v sudo >/dev/null; then as_root=sudo; \
	else echo "missing packages:$$missing (run: apt-get install$$missing)" >&2; exit 1; fi; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq $$missing >/dev/null
endef

deps:  ## install the Debian packages that a build needs
	$(call install_packages,$(PACKAGES))

test-deps: deps
	$(call install_packages,python3 openssl)

# Names what is missing, on machines that have another packager too, and installs nothing.
have-deps:
	@command -v $(SWIFT) >/dev/null || { echo "Swift 6.3 is missing: https://www.swift.org/install/linux" >&2; exit 1; }
	@command -v dpkg-query >/dev/null || exit 0; missing="$(call missing,$(PACKAGES))"; \
	[ -z "$$missing" ] || { echo "missing packages:$$missing (run: make deps, or apt-get install$$missing)" >&2; exit 1; }

# ---- library and tool -----------------------------------------------------------------------------------------------

# The listed names and no others: a pattern would let through whatever else begins with hadpo_.
$(BUILD)/exports.map: Tests/ABI/symbols.txt
	@mkdir -p $(@D)
	@awk 'BEGIN { print "{ global:" } !/^#/ && NF { print $$1 ";" } END { print "local: *; };" }' $< > $@

$(BUILD)/hypotf.o: bindings/python/wheel/hypotf.c
	@mkdir -p $(@D)
	$(CC) -std=c99 $(CFLAGS) $(WARNINGS) -fPIC -c $< -o $@

library: have-deps $(BUILD)/exports.map $(BUILD)/hypotf.o
	@mkdir -p $(BUILD)/lib
	@built=$$($(SWIFT_LIBRARY) --show-bin-path)/libhadpo.so; [ ! $(BUILD)/exports.map -nt $$built ] || rm -f $$built
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

# ---- using it -------------------------------------------------------------------------------------------------------

demo: deps  ## install what is missing, build, run HA-DPO on the small world
	@$(MAKE) --no-print-directory all
	$(TOOL) demo

# ---- proving it ------------------------------------------------------------------------------------------------------

# The installed tree that the C and Python host tests use, as a stranger's program would.
STAGE := $(BUILD)/stage

test: test-deps  ## install what is missing, build, run every test
	@$(MAKE) --no-print-directory all
	@rm -rf $(STAGE) && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(STAGE) PREFIX=/usr >/dev/null
	@CC='$(CC)' SWIFT='$(SWIFT)' $(PYTHON) Tests/run.py --stage $(STAGE)/usr

# Hours. `make parity` and `make test-demo` beside it are what a release needs.
nightly: check-faults soak check-malloc check-scaling check-guard-pages check-asan check-tsan fuzz  ## every long check in its full form, hours

test-long: check-faults-short check-calls-short check-scaling check-malloc-short check-asan-short  ## short forms of the long checks: faults, random calls, scaling, refused memory, sanitizers

check: test-deps  ## format, layers, header in ten dialects, symbols, ctypes, docs/reference.md
	$(SWIFT) format lint -s -r Package.swift Sources Tests bindings/swift
	$(PYTHON) Tests/check_layers.py
	CC='$(CC)' Tests/ABI/check_header.sh
	$(PYTHON) Tests/ABI/check_symbols.py $(wildcard $(LIBRARY))
	$(PYTHON) Tests/ABI/check_ctypes.py
	$(PYTHON) Tests/ABI/make_reference.py $(wildcard $(LIBRARY))

reference: all  ## write docs/reference.md again
	$(PYTHON) Tests/ABI/make_reference.py $(LIBRARY) --write

clean:  ## remove what was built
	rm -rf $(BUILD) .build

include bindings/install.mk Tests/checks.mk Tests/peers.mk
