DROP TABLE account_flow;
