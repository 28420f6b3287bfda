# Installing, packages, wheel, the Swift examples; included by the Makefile.

.PHONY: install uninstall deb deb-check wheel wheel-check swift-example

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

install: all $(PAGES)/hadpo.1  ## library, header, hadpo.pc, tool, manual page, completions: PREFIX= LIBDIR= DESTDIR=
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

uninstall:  ## take them away; the same PREFIX, LIBDIR and DESTDIR
	rm -f $(INSTALLED)

# libhadpo0, libhadpo-dev and hadpo, in build/deb.
deb: deps  ## Debian packages, in build/deb
	$(call install_packages,dpkg-dev fakeroot)
	@$(MAKE) --no-print-directory all
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(BUILD)/deb/root PREFIX=/usr LIBDIR=lib/$$(dpkg-architecture -qDEB_HOST_MULTIARCH) \
		TOOL=$(BUILD)/deb/hadpo RPATH= PAGES=$(BUILD)/deb/pages >/dev/null
	bindings/debian/make_deb.sh $(BUILD)/deb $(VERSION)

# The packages in a Debian that has nothing else: debootstrap and chroot, as root.
deb-check: deb  ## install them in a clean Debian and run them there
	$(call install_packages,debootstrap lintian)
	Tests/Debian/check.sh $(BUILD)/deb

# ---- the Python wheel -------------------------------------------------------------------------------------------------

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

wheel: $(WHEEL_VENV)/installed  ## Python wheel for other machines
	@$(MAKE) --no-print-directory all $(BUILD)/wheel/bin/hadpo
	SWIFT='$(SWIFT)' $(WHEEL_VENV)/bin/python bindings/python/wheel/make_wheel.py $(BUILD)/wheel/bin/hadpo $(BUILD)/wheel/dist

# Types and tests with NumPy, Pillow and TensorBoard beside the wheel; then a Debian root with python3 and python3-venv and
# nothing of ours. Root, and the network for debootstrap.
wheel-check: wheel  ## run it in a clean Debian root
	$(call install_packages,debootstrap)
	$(WHEEL_VENV)/bin/pip install -q --no-index --no-deps --force-reinstall $(BUILD)/wheel/dist/*.whl
	$(WHEEL_VENV)/bin/python -m mypy --strict -p hadpo
	$(WHEEL_VENV)/bin/python -m mypy --strict Tests/Wheel/typed_usage.py
	$(WHEEL_VENV)/bin/pyright --pythonpath $(WHEEL_VENV)/bin/python bindings/python/hadpo Tests/Wheel/typed_usage.py
	HADPO_LIBRARY=$(CURDIR)/$(LIBRARY) HADPO_TOOL=$(CURDIR)/$(TOOL) $(WHEEL_VENV)/bin/python -m unittest discover -s Tests/Hosts/python -p 'test_package.py'
	$(PYTHON) Tests/Wheel/check.py $(BUILD)/wheel/dist $(BUILD)/debian-root

# ---- the Swift examples, a package of their own: minutes, it compiles the library once more ------------------------------

SWIFT_EXAMPLE = $(SWIFT) build -c release --package-path bindings/swift/examples --scratch-path $(BUILD)/swift-example

swift-example: deps  ## build and run the Swift package that depends on this one
	$(SWIFT_EXAMPLE)
	@rm -rf $(BUILD)/swift-world
	$$($(SWIFT_EXAMPLE) --show-bin-path)/measure $(BUILD)/swift-world | tee $(BUILD)/swift-example.txt
	@grep -E '^(before|after): |^trained ' docs/getting-started-swift.md | diff - $(BUILD)/swift-example.txt
