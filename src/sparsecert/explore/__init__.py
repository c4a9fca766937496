"""The hands-on page: one input of a run, to be attacked by hand while its votes are watched.

`session.py` and what it uses know nothing of a browser; `page.py` shows them with Gradio.
"""
