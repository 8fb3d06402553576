"""The figures of docs/performance.md: measured on real servers, counted where others would count them."""
