"""Everything else that imports Streamlit: shell, state, forms, charts, galleries, live views."""
