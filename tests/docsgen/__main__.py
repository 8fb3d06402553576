"""`python -m docsgen`: write every generated page that is not up to date."""

from docsgen.pages import PAGES, ROOT, committed

for path, render in PAGES.items():
    before = committed(path)
    after = render(before)
    if after != before:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(after)
        print(f"wrote {path}")
