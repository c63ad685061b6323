"""The study's report: one page of HTML that needs nothing but a browser."""
