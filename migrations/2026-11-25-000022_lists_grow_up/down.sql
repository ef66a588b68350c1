DROP TABLE list_columns;
DROP TABLE favourites;
