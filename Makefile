# make report   sets up what is missing and builds the quick report in build/quick
# make test     sets up what is missing and runs the tests
# make publish OUT=build/designs/camvid   puts that report and the records of all designs into report/published
PYTHON ?= python3
PROFILE ?= quick
OUT ?= build/$(PROFILE)
BIN := .venv/bin

report: .venv/ready
	$(BIN)/python -m report --install-browser --profile $(PROFILE) --out $(OUT)

test: .venv/ready
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

# Of the executed notebooks 0 alone goes along: the others can be executed again from the records, without the data set.
PUBLISHED := report/published/$(notdir $(OUT))
publish: .venv/ready
	test -s $(OUT)/report.pdf
	mkdir -p $(PUBLISHED)/notebooks
	cp -r $(foreach part,report.html report.pdf build.json figures runs cost live,$(OUT)/$(part)) $(PUBLISHED)
	cp $(OUT)/notebooks/0_data.ipynb $(PUBLISHED)/notebooks
	$(BIN)/python -m lib.studies.queue D1 D2 D3 D4 D5 D6 --out $(dir $(OUT)) --collect report/published
	find report/published \( -name '*.pt' -o -name predictions.npz -o -name '*.partial*' -o -name .lock \) -delete
	$(BIN)/python -m report.readme

# The stamp is written last: an installation that was interrupted is taken up again.
.venv/ready: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.PHONY: report test publish
