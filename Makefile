# make          installs what is missing, builds everything into build/
# make check    runs every test
# make demo     shows a crossing (KEEP=1 leaves the lab running)
# make model    every order of events in a migration, for some minutes
# make fuzz     looks for inputs that parsers cannot stand, with clang:
#               FUZZ_SECONDS for each parser (20)
# make install  the usual one, with DESTDIR=

BUILD ?= build
FUZZ_SECONDS ?= 20
MODEL ?= full

.PHONY: all deps configure demo check check-sanitize model fuzz install clean

all: configure
	@ninja -C $(BUILD) --quiet
	@guest/build-mini $(BUILD)/mini

deps:
	@tools/install-packages

configure: deps
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) >$(BUILD).log \
	    || { cat $(BUILD).log >&2; exit 1; }

demo: all
	@tools/demo $(BUILD) $(if $(KEEP),--keep)

check: all
	@tools/check $(BUILD)

# Unit, golden, script and crash tests with AddressSanitizer and UBSan.
check-sanitize: deps
	@[ -e $(BUILD)-sanitize/build.ninja ] || meson setup \
	    -Db_sanitize=address,undefined -Dbuildtype=debug \
	    $(BUILD)-sanitize >$(BUILD)-sanitize.log
	@ninja -C $(BUILD)-sanitize --quiet
	@meson test -C $(BUILD)-sanitize --no-rebuild --suite unit \
	    --suite golden --suite script --suite crash

# MODEL="FAULTS DELAYS [BUG]" is one search; see HACKING.md.
model: configure
	@ninja -C $(BUILD) --quiet src/engine/test-model
	@nice $(BUILD)/src/engine/test-model $(MODEL)

fuzz: deps
	@tools/install-packages fuzz
	@[ -e $(BUILD)-fuzz/build.ninja ] || meson setup \
	    --native-file tools/fuzz.ini $(BUILD)-fuzz >$(BUILD)-fuzz.log \
	    || { cat $(BUILD)-fuzz.log >&2; exit 1; }
	@nice tools/fuzz $(BUILD)-fuzz $(FUZZ_SECONDS)

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

clean:
	rm -rf $(BUILD) $(BUILD).log $(BUILD)-sanitize $(BUILD)-sanitize.log \
	    $(BUILD)-fuzz $(BUILD)-fuzz.log
