mod described;
mod fixtures;
mod resources;
mod routes;
